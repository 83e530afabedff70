"""The fastest setting that is safe for a network on a device: memory format and precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

CHANNELS_LAST, CONTIGUOUS = "channels_last", "contiguous"


def fastest_safe_setting(backbone: nn.Module, device: torch.device | str) -> dict[str, Any]:
    """Choose memory format and autocast precision by what the hardware has and the network is.

    The rules; those for CPUs are measured by ``benchmarks/backbones.py``, those for GPUs follow the
    vendors' advice:

    - **bfloat16** where the hardware multiplies it: on GPUs from compute capability 8. On CPUs it is left to who
      asks for it: where it is emulated it is up to fifty times slower than float32, and where the CPU multiplies it
      (AMX, PyTorch 2.14) the same run of timm's resnet10t gave gradient norms of 14, 14, 2e12 and 2e19 at its tenth
      step in four tries on one thread, while float32 repeats bit for bit. float16 is never
      chosen: it needs loss scaling. bfloat16 keeps float32's range, and under autocast parameters,
      their gradients and the optimiser's state stay in float32, which is what makes it safe. Features
      come out in bfloat16: a contrastive loss must take them as ``.float()``.
    - **channels-last** for 2D and 3D networks on a CPU, in either precision, and for 2D networks on
      GPUs with bfloat16. Together with the rewritten layers AINet trains 1.7 times as fast by it, SSRN 1.3,
      2D-CNN 1.4; the others stay within ten per cent (``results/backbones/cpu.md``). Not for
      1D-CNN, which has no use for it, nor for 3D-CNN, whose large kernels run slower.

    Args:
        backbone: Network with ``conv_dims`` and ``channels_last`` (without: 2D, and True).
        device: Where it will run.

    Returns:
        ``{"memory_format": "channels_last" | "contiguous", "autocast_dtype": torch.dtype | None,
        "why": one line}``. Apply the first with :func:`set_memory_format`, the second with
        ``torch.autocast(device.type, dtype)``; None means no autocast.
    """
    device = torch.device(device)
    dims = int(getattr(backbone, "conv_dims", 2))
    if device.type == "cpu":
        bf16, hardware = False, "CPU"
    elif device.type == "cuda":
        bf16, hardware = torch.cuda.get_device_capability(device)[0] >= 8, torch.cuda.get_device_name(device)
    else:
        bf16, hardware = False, device.type
    last = getattr(backbone, "channels_last", True) and (device.type == "cpu" or (dims == 2 and bf16))
    return {
        "memory_format": CHANNELS_LAST if last else CONTIGUOUS,
        "autocast_dtype": torch.bfloat16 if bf16 and dims > 1 else None,
        "why": f"{hardware} {'multiplies bfloat16' if bf16 else 'in float32, which repeats'}; {dims}D network",
    }


def training_setting(
    backbone: nn.Module,
    device: torch.device | str,
    precision: str = "auto",
    gather: Callable[[Any], list[Any]] | None = None,
) -> dict[str, str]:
    """What a run trains in, decided before its first step.

    Args:
        backbone: The network.
        device: Where this process runs it.
        precision: ``auto`` as :func:`fastest_safe_setting` says (bfloat16 if it says so on every process),
            or ``fp32`` or ``bf16`` whatever it says. The memory format always follows it: it changes no value
            by more than rounding.
        gather: Collects one object from every process; None for one process.

    Returns:
        ``{"precision": "fp32" | "bf16", "memory_format": "channels_last" | "contiguous", "why": one line}``,
        fit for JSON, for the log and the run's provenance.
    """
    fastest = fastest_safe_setting(backbone, device)
    everywhere = gather(fastest["autocast_dtype"]) if gather else [fastest["autocast_dtype"]]
    why = fastest["why"]
    if precision != "auto":
        why = f"precision as the recipe says; {why}"
    elif fastest["autocast_dtype"] and None in everywhere:
        why = f"not every process has bfloat16; {why}"
    fast = "fp32" if None in everywhere else "bf16"
    return {
        "precision": fast if precision == "auto" else precision,
        "memory_format": fastest["memory_format"],
        "why": why,
    }


def cpu_has_bf16() -> bool:
    """True when this CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX)."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)


def set_memory_format(backbone: nn.Module, memory_format: str) -> nn.Module:
    """Lay out every 2D and 3D convolution's weights, in place; the layers' inputs follow them.

    ``Module.to(memory_format=...)`` takes one format for the whole network, and these networks mix 2D
    and 3D layers. Values don't change.

    Args:
        backbone: The network; do this before making the optimiser.
        memory_format: ``"channels_last"`` or ``"contiguous"``.

    Returns:
        The same network.
    """
    last = {4: torch.channels_last, 5: torch.channels_last_3d} if memory_format == CHANNELS_LAST else {}
    for parameter in backbone.parameters():
        if parameter.ndim in (4, 5):
            layout = last.get(parameter.ndim, torch.contiguous_format)
            # clone, since contiguous() leaves a one-channel stem as it is: its strides are ambiguous,
            # and by them the first layer decides the format of everything behind it
            parameter.data = parameter.data.clone(memory_format=layout)
    return backbone
