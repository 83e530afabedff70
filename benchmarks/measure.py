"""What every benchmark here shares: runs in turn, ratio and spread, memory of a run alone, results/speed/."""

from __future__ import annotations

import gc
import os
import pickle
import platform
import statistics
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sslhsi.files import write_atomic, write_rows

SPEED = Path(__file__).parents[1] / "results" / "speed"


def in_turn(runs: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each run, in rounds of all of them, so that what else the machine does falls on all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def alone(run: Callable[[], Any]) -> tuple[float, int, Any]:
    """Seconds, extra bytes and result of a run in another process.

    Bytes are the peak of its private memory (RssAnon) above what it began with; pages of mapped files, which the
    system takes back when it needs them, don't count.
    """
    gc.collect()
    out, back = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before = peak = own_bytes()
            ended = threading.Event()

            def watch() -> None:
                nonlocal peak
                while not ended.wait(0.005):
                    peak = max(peak, own_bytes())

            watcher = threading.Thread(target=watch)
            watcher.start()
            start = time.perf_counter()
            result = run()
            seconds = time.perf_counter() - start
            peak = max(peak, own_bytes())
            ended.set()
            watcher.join()
            answer = (seconds, peak - before, result)
        except BaseException:
            answer = (-1.0, 0, traceback.format_exc())
        with os.fdopen(back, "wb") as stream:
            pickle.dump(answer, stream)
        os._exit(0)
    os.close(back)
    with os.fdopen(out, "rb") as stream:
        data = stream.read()
    os.waitpid(child, 0)
    if not data:
        raise SystemExit("a run was killed, for want of memory perhaps")
    seconds, extra, result = pickle.loads(data)
    if seconds < 0:
        raise SystemExit(result)
    return seconds, extra, result


def own_bytes() -> int:
    """Memory of this process that no file stands behind."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no RssAnon; this needs Linux")


def machine(device: torch.device) -> str:
    """One line that names the hardware and the versions."""
    model, flags = platform.processor() or platform.machine(), ""
    if Path("/proc/cpuinfo").exists():
        text = Path("/proc/cpuinfo").read_text()
        lines = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
        lines = {key.strip(): value.strip() for key, value in lines.items()}
        model = lines.get("model name", model)
        model += f" (family {lines.get('cpu family')}, model {lines.get('model')})"
        present = lines.get("flags", "").split()
        wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
        flags = ", ".join(f"{flag} {'yes' if flag in present else 'no'}" for flag in wanted)
    parts = [model, flags, f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"]
    if device.type == "cuda":
        parts.append(torch.cuda.get_device_name(device))
    return "; ".join([*filter(None, parts), f"torch {torch.__version__}"])


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """Least and largest of several rounds, as a table prints them."""
    return f"{min(values):.3g}-{max(values):.3g}"


def compared(seconds: Sequence[float], peer: Sequence[float]) -> dict[str, Any]:
    """Columns of a table: seconds of the rounds of a run, and how much faster than the same rounds of its peer.

    Median and range of the rounds; ratios are taken round by round, so that what else the machine did in a round
    falls out of them.
    """
    ratios = [b / a for a, b in zip(seconds, peer, strict=True)]
    return {
        "seconds": median(seconds),
        "seconds, range": spread(seconds),
        "times faster": median(ratios),
        "times faster, range": spread(ratios),
        "rounds": len(seconds),
    }


def write(name: str, title: str, text: str, rows: Sequence[Mapping[str, Any]], folder: Path = SPEED) -> None:
    """Write NAME.csv and NAME.md, and print the table."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    write_rows(folder / f"{name}.csv", rows, columns)
    command = " ".join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]])
    lines = [f"# {title}", "", text, "", f"Command: `{command}`", ""]
    lines += [f"Machine: {machine(torch.device('cuda' if torch.cuda.is_available() else 'cpu'))}.", ""]
    lines += table(rows, columns)
    page = write_atomic(folder / f"{name}.md", "\n".join(lines) + "\n")
    print("\n".join(lines[-len(rows) - 2 :]))
    print(page)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Lines of a table in Markdown."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(_cell(row.get(c, "")) for c in columns) + " |" for row in rows]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
