"""Pretrain a backbone by contrast: the main job, from a recipe to a judged backbone.

    accelerate launch sslhsi/pretrain.py recipes/simclr_multidomain.yaml [key=value ...]

Reads the recipe, prepares the corpus (once, cached by content), trains with two views per patch and a
contrastive loss on as many processes as Accelerate starts, judges the backbone beside the same network
with random weights, and leaves a run directory: recipe.yaml, provenance.json, metrics.csv, TensorBoard
log, checkpoints, results.csv, backbone/ and report.html.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    # Launched as a script: put the package's parent first instead of the package itself.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, set_seed
from torch import Tensor, nn

from sslhsi.corpus.corpus import Corpus
from sslhsi.corpus.prepare import prepare
from sslhsi.corpus.reader import PatchReader
from sslhsi.corpus.sampler import DomainSampler
from sslhsi.encoder.load import read_weights
from sslhsi.encoder.save import save_backbone
from sslhsi.errors import InputError
from sslhsi.evaluation.judge import Row, judge_run, monitor_accuracy
from sslhsi.evaluation.rows import ResultRow
from sslhsi.files import write_atomic, write_rows
from sslhsi.methods.base import Batch, JointEmbedding
from sslhsi.methods.registry import create_method
from sslhsi.recipe import Recipe, load_recipe
from sslhsi.report.run_report import write_report
from sslhsi.training.checkpoint import save_checkpoint
from sslhsi.training.diverged import LossWatch, diverged
from sslhsi.training.grad_cache import cached_backward
from sslhsi.training.lost import LOST, lost_process
from sslhsi.training.optimiser import create_optimiser
from sslhsi.training.processes import claim_on_main, gather_for, print_on
from sslhsi.training.progress import progress
from sslhsi.training.provenance import provenance
from sslhsi.training.resume import checkpoint_to_resume, shaping_facts
from sslhsi.training.run_dir import Metrics
from sslhsi.training.schedule import warmup_cosine
from sslhsi.training.start import Weights, check_backbone, create_start
from sslhsi.training.stop import Stopped, hold_signals, raise_on_signals
from sslhsi.training.sync_batchnorm import synchronise_batchnorm
from sslhsi.views import hash_seed, make_views, margin


def pretrain(recipe: Recipe) -> Path:
    """Run a recipe on every process that called this; returns the run directory.

    Raises:
        InputError: The recipe, the data or the disk won't do; the same on every process.
    """
    kwargs = [
        DistributedDataParallelKwargs(broadcast_buffers=False),
        InitProcessGroupKwargs(backend=None, timeout=timedelta(seconds=recipe.training.timeout)),
    ]
    # Autocast is the loop's own: Accelerate keeps one precision for the life of a process.
    accelerator = Accelerator(mixed_precision="no", kwargs_handlers=kwargs)
    rank, world = accelerator.process_index, accelerator.num_processes
    with claim_on_main(recipe.run_dir, accelerator):
        say = print_on(accelerator)
        weights = starting_weights(recipe)
        check_backbone(recipe, weights)
        began = time.perf_counter()
        gather = gather_for(world)
        corpus = prepare(recipe, rank=rank, world=world, gather=gather, progress=None if rank else say_step)
        for line in corpus.notes:
            say(f"note: {line}")
        patches, training = recipe.corpus.patches, recipe.training
        windows = corpus.windows(patches)
        sampler = DomainSampler(corpus.domain_numbers(windows), training.batch_size, recipe.seed)
        sampler.indices(0, rank, world)
        steps = training.steps or (training.epochs or 0) * sampler.steps_per_epoch
        say(
            f"corpus {corpus.folder}: {len(corpus.scenes)} scenes, {len(corpus.domains)} domains, {len(windows):,} "
            f"patches of {patches.window}x{patches.window}x{corpus.channels}, prepared in "
            f"{time.perf_counter() - began:.1f} s"
        )
        set_seed(recipe.seed)
        start = create_start(recipe, weights, accelerator.device, gather)
        for line in start.lines:
            say(line)
        facts = shaping_facts(recipe, corpus.key, steps, start.record)
        found = checkpoint_to_resume(recipe, facts, say, gather)
        if rank == 0:
            write_atomic(recipe.run_dir / "recipe.yaml", recipe.dump())
            known = provenance(
                corpus, processes=world, steps=steps, backbone=str(recipe.backbone.name), **start.record
            )
            write_atomic(recipe.run_dir / "provenance.json", json.dumps(known, indent=1) + "\n")
        train(recipe, accelerator, corpus, start.backbone, windows, sampler, steps, facts, found)
        # The others need not wait, and run out of patience, while one process judges.
        accelerator.wait_for_everyone()
        accelerator.end_training()
        if rank == 0:
            finish(recipe, corpus, start.backbone.to(accelerator.device), start.random.to(accelerator.device), say)
    return recipe.run_dir


def train(
    recipe: Recipe,
    accelerator: Accelerator,
    corpus: Corpus,
    backbone: nn.Module,
    windows: Any,
    sampler: DomainSampler,
    steps: int,
    facts: dict[str, Any],
    found: tuple[int, dict[str, Tensor], dict[str, Any]] | None,
) -> None:
    """The contrastive loop; trains ``backbone`` in place.

    Args:
        recipe: The recipe.
        accelerator: Devices and processes.
        corpus: What ``windows``, (n, 3) scene, row and column, are cut from.
        backbone: The network.
        windows: The windows.
        sampler: Which of them make up a step.
        steps: Optimiser steps of the whole run.
        facts: As :func:`shaping_facts` gives them, kept in every checkpoint; the precision is one of them.
        found: Step, weights and optimiser state to go on from; None starts at step 0.
    """
    training, rank, world = recipe.training, accelerator.process_index, accelerator.num_processes
    device = accelerator.device
    plain = create_method(recipe.method.name, backbone, recipe.method.options)
    settings = plain.view_settings(recipe.views)
    reader = PatchReader(corpus.arrays, recipe.corpus.patches.window, margin(settings), device)
    if world > 1 and training.sync_batchnorm:
        synchronise_batchnorm(plain, device)
    optimiser = create_optimiser(plain, training)
    start = 0
    if found:
        start, weights, state = found
        plain.load_state_dict(weights)
        optimiser.load_state_dict(state)
    # Gradient caching passes through the network more than once a step and averages its gradients itself.
    model = accelerator.prepare_model(plain, evaluation_mode=training.micro_batch > 0)
    optimiser = accelerator.prepare_optimizer(optimiser)
    mixed = partial(torch.autocast, device.type, torch.bfloat16, enabled=facts["precision"] == "bf16")
    watch = LossWatch(device)
    component_spread = torch.from_numpy(corpus.component_spread).to(device)
    main = accelerator.is_main_process
    metrics = Metrics(recipe.run_dir, start) if main else None
    knn = float("nan")
    model.train()
    clock, done = time.perf_counter(), start
    title = f"{recipe.name}: step" if not start else f"{recipe.name}: resumed at {start}, step"
    with progress(title, steps, start, show=main) as advance, ExitStack() as closing_time:
        if metrics:
            closing_time.callback(metrics.close)
        stop = closing_time.enter_context(hold_signals())
        for step in range(start, steps):
            # Every random number is a function of (seed, step, rank), so that a resumed run repeats none.
            torch.manual_seed(seed := hash_seed(recipe.seed, step, rank))
            mine = windows[sampler.indices(step, rank, world)]
            first, total = rank * len(mine), world * len(mine)
            views = make_views(
                reader(mine),
                settings,
                window=recipe.corpus.patches.window,
                component_spread=component_spread,
                zero_spectrum=torch.from_numpy(corpus.zero_spectrum(mine)).to(device),
                seed=recipe.seed,
                step=step,
                first=first,
                total=total,
            )
            rate = training.lr * warmup_cosine(step, steps, training.warmup)
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad()
            if training.micro_batch:
                assert isinstance(plain, JointEmbedding)
                loss = cached_backward(plain, views, training.micro_batch, seed, mixed)
            else:
                with mixed():
                    loss, _ = model(Batch(views, step, steps, first, total, recipe.seed))
                accelerator.backward(loss)
            watch.see(loss.detach(), step)
            norm = accelerator.clip_grad_norm_(model.parameters(), training.clip or math.inf)
            optimiser.step()

            end = step + 1 == steps
            signal = 0 if end else stop.agreed(accelerator, step + 1)
            saves = (step + 1) % training.checkpoint_every == 0 or end or signal
            logs = (step + 1) % training.log_every == 0 or end
            if logs or saves:
                value = float(accelerator.reduce(loss.detach(), "mean"))
                # Before a checkpoint is written, so that the last one kept is a good one.
                if not math.isfinite(value):
                    first = step if watch.first is None else watch.first
                    whole = windows[sampler.batch(first)]
                    raise diverged(recipe.run_dir, corpus, reader, whole, first, write=main)
            if logs:
                every = training.monitor_every * sampler.steps_per_epoch
                due = every and (end or (step + 1) // every != (step + 1 - training.log_every) // every)
                checked = (
                    main
                    and due
                    and not math.isnan(
                        knn := monitor_accuracy(backbone, corpus, reader, recipe.corpus.patches, recipe.evaluation.k)
                    )
                )
                if metrics:
                    now = time.perf_counter()
                    row = {
                        "step": step + 1,
                        "epoch": round((step + 1) / sampler.steps_per_epoch, 3),
                        "loss": value,
                        "lr": rate,
                        "grad_norm": float(norm),
                        "patches_per_second": round((step + 1 - done) * training.batch_size / (now - clock), 1),
                        "knn": knn if checked else "",
                    }
                    clock, done = time.perf_counter(), step + 1
                    metrics.add(row)
                    note = f"loss {value:.3f}" + ("" if math.isnan(knn) else f"  k-NN {knn:.1f} %")
                    advance(step + 1, note)
            if main and saves:
                model_state = accelerator.unwrap_model(model).state_dict()
                state = optimiser.state_dict()
                save_checkpoint(recipe.run_dir, step + 1, model_state, state, facts, training.keep_checkpoints)
            if signal:
                # A scheduler may end all at the first exit; the checkpoint must be whole by then.
                accelerator.wait_for_everyone()
                raise Stopped(signal)


def finish(recipe: Recipe, corpus: Corpus, backbone: torch.nn.Module, untrained: torch.nn.Module, say: Any) -> None:
    """Write the backbone, judge it beside its baselines, and draw the report."""
    patches = recipe.corpus.patches
    config = {
        "architecture": recipe.backbone.name,
        "options": recipe.backbone.options,
        "window": patches.window,
        "border": patches.border,
        "recipe": recipe.name,
        "corpus": corpus.key,
    }
    save_backbone(recipe.run_dir / "backbone", backbone.eval(), corpus.projector, config)
    say("judging the backbone beside the same network with random weights")
    rows: list[Row] = judge_run({"pretrained": backbone, "random weights": untrained.eval()}, corpus, recipe)
    write_rows(recipe.run_dir / "results.csv", rows)
    report = write_report(recipe.run_dir, recipe, corpus, backbone, [ResultRow.from_csv(row) for row in rows])
    for line in report.summary:
        say(line)
    say(f"report: {report.path}")


def starting_weights(recipe: Recipe) -> Weights | None:
    """Read what ``backbone.weights`` names; None where the run starts from random weights.

    Raises:
        InputError: There is no such file, folder or repository, or it holds no weights.
    """
    source = recipe.backbone.weights
    if source is None:
        return None
    return Weights(source, read_weights(source, "backbone.weights"))


def say_step(what: str, done: int, total: int) -> None:
    print(f"preparing {done}/{total}: {what}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if words else 2
    # Accelerate's wording of an option, which PyTorch is about to rename.
    warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
    # Of axes of length one, whose strides mean nothing, in channels-last layout.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides", UserWarning)
    try:
        with raise_on_signals():
            pretrain(load_recipe(words[0], words[1:]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return stopped.exit_code
    except RuntimeError as error:
        if not lost_process(error):
            raise
        print(LOST, file=sys.stderr, flush=True)
        # Not sys.exit: what tidies up would wait for the process that is gone.
        os._exit(1)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
