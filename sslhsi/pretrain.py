"""Pretrain a backbone by contrast: the main job, from a recipe to a judged backbone.

    accelerate launch sslhsi/pretrain.py recipes/simclr_multidomain.yaml [key=value ...]

Reads the recipe, prepares the corpus (once, cached by content), trains with two views per patch and a
contrastive loss on as many processes as Accelerate starts, judges the backbone beside the same network
with random weights, and leaves a run directory: recipe.yaml, provenance.json, metrics.csv, TensorBoard
log, checkpoints, results.csv, backbone/ and report.html.
"""

from __future__ import annotations

import copy
import json
import math
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    # Launched as a script: put the package's parent first instead of the package itself.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list, gather_object, set_seed

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.errors import InputError
from sslhsi.hub import save_backbone
from sslhsi.objectives.registry import create_objective
from sslhsi.patches.corpus import Corpus
from sslhsi.patches.prepare import prepare
from sslhsi.patches.reader import PatchReader
from sslhsi.patches.sampler import DomainSampler
from sslhsi.probes.judge import Row, judge_run, monitor_accuracy
from sslhsi.recipe import Recipe, load_recipe
from sslhsi.report.run_report import write_report
from sslhsi.training.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from sslhsi.training.contrastive import Contrastive
from sslhsi.training.optimiser import create_optimiser
from sslhsi.training.progress import progress
from sslhsi.training.provenance import provenance
from sslhsi.training.run_dir import Metrics, claim, write_rows, write_text
from sslhsi.training.schedule import warmup_cosine
from sslhsi.training.sync_batchnorm import synchronise_batchnorm
from sslhsi.views import hash_seed, two_views


def pretrain(recipe: Recipe) -> Path:
    """Run a recipe on every process that called this; returns the run directory.

    Raises:
        InputError: The recipe, the data or the disk won't do; the same on every process.
    """
    kwargs = DistributedDataParallelKwargs(broadcast_buffers=False)
    precision = "bf16" if recipe.training.precision == "bf16" else "no"
    accelerator = Accelerator(mixed_precision=precision, kwargs_handlers=[kwargs])
    rank, world = accelerator.process_index, accelerator.num_processes
    with claim_on_main(recipe.run_dir, accelerator):
        say = print_on(accelerator)
        check_backbone(recipe)
        began = time.perf_counter()
        corpus = prepare(
            recipe, rank=rank, world=world, gather=gather_for(world), progress=None if rank else say_step
        )
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
        backbone = create_backbone(recipe.backbone.name, corpus.channels, patches.window, **recipe.backbone.options)
        untrained = copy.deepcopy(backbone)
        if rank == 0:
            write_text(recipe.run_dir / "recipe.yaml", recipe.dump())
            facts = provenance(corpus, processes=world, steps=steps, backbone=str(recipe.backbone.name))
            write_text(recipe.run_dir / "provenance.json", json.dumps(facts, indent=1) + "\n")
        reader = PatchReader(corpus.arrays, patches.window, recipe.views.shift, accelerator.device)
        train(recipe, accelerator, corpus, backbone, reader, windows, sampler, steps)
        if rank == 0:
            finish(recipe, corpus, backbone.to(accelerator.device), untrained.to(accelerator.device), say)
        accelerator.wait_for_everyone()
    accelerator.end_training()
    return recipe.run_dir


def train(
    recipe: Recipe,
    accelerator: Accelerator,
    corpus: Corpus,
    backbone: torch.nn.Module,
    reader: PatchReader,
    windows: Any,
    sampler: DomainSampler,
    steps: int,
) -> None:
    """The contrastive loop; trains ``backbone`` in place."""
    training, rank, world = recipe.training, accelerator.process_index, accelerator.num_processes
    device = accelerator.device
    plain = Contrastive(backbone, recipe.objective)
    if world > 1 and training.sync_batchnorm:
        synchronise_batchnorm(plain, device)
    optimiser = create_optimiser(plain, training)
    # What a checkpoint must share with the run that takes it up: everything that shapes the weights.
    same = recipe.model_dump_json(exclude={"name", "output", "evaluation", "corpus", "training"}) + str(steps)
    shaping = {"batch_size", "optimizer", "lr", "weight_decay", "momentum", "warmup", "clip", "precision"}
    same += training.model_dump_json(include=shaping) + recipe.corpus.patches.model_dump_json()
    facts = {"recipe": hash_text(same), "corpus": corpus.key}
    start = 0
    if training.resume == "never" and checkpoints(recipe.run_dir):
        raise InputError(
            f"{recipe.run_dir}: holds checkpoints, and training.resume is never; move the folder away or give "
            "another output="
        )
    if training.resume == "auto" and (found := load_checkpoint(recipe.run_dir, facts)):
        start, weights, state = found
        plain.load_state_dict(weights)
        optimiser.load_state_dict(state)
    model, optimiser = accelerator.prepare(plain, optimiser)
    objective = create_objective(recipe.objective)
    unit = torch.from_numpy(corpus.unit).to(device)
    main = accelerator.is_main_process
    metrics = Metrics(recipe.run_dir / "metrics.csv", start) if main else None
    board = tensorboard(recipe.run_dir) if main else None
    knn = float("nan")
    model.train()
    clock, done = time.perf_counter(), start
    title = f"{recipe.name}: step" if not start else f"{recipe.name}: resumed at {start}, step"
    with progress(title, steps, start, show=main) as advance, ExitStack() as closing_time:
        for log in (metrics, board):
            if log:
                closing_time.callback(log.close)
        for step in range(start, steps):
            # Every random number is a function of (seed, step, rank), so that a resumed run repeats none.
            torch.manual_seed(hash_seed(recipe.seed, step, rank))
            batch = windows[sampler.indices(step, rank, world)]
            views = two_views(
                reader(batch),
                recipe.views,
                window=recipe.corpus.patches.window,
                unit=unit,
                black=torch.from_numpy(corpus.black(batch)).to(device),
                seed=recipe.seed,
                step=step,
                rank=rank,
                world=world,
            )
            rate = training.lr * warmup_cosine(step, steps, training.warmup)
            for group in optimiser.param_groups:
                group["lr"] = rate
            with accelerator.autocast():
                z1, z2 = model(views).chunk(2)
            loss = objective(z1, z2)
            optimiser.zero_grad()
            accelerator.backward(loss)
            norm = accelerator.clip_grad_norm_(model.parameters(), training.clip or math.inf)
            optimiser.step()

            end = step + 1 == steps
            saves = (step + 1) % training.checkpoint_every == 0 or end
            logs = (step + 1) % training.log_every == 0 or end
            if logs or saves:
                value = float(accelerator.reduce(loss.detach(), "mean"))
                # Before a checkpoint is written, so that the last one kept is a good one.
                if not math.isfinite(value):
                    raise InputError(
                        f"{recipe.run_dir}: the loss is {value} at step {step + 1}; lower training.lr or raise "
                        "training.warmup, the last checkpoint is kept"
                    )
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
                if metrics and board:
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
                    for key, number in row.items():
                        if key not in ("step", "epoch") and number != "":
                            board.add_scalar(key, number, step + 1)
                    note = f"loss {value:.3f}" + ("" if math.isnan(knn) else f"  k-NN {knn:.1f} %")
                    advance(step + 1, note)
            if main and saves:
                model_state = accelerator.unwrap_model(model).state_dict()
                state = optimiser.state_dict()
                save_checkpoint(recipe.run_dir, step + 1, model_state, state, facts, training.keep_checkpoints)


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
    report = write_report(recipe.run_dir, recipe, corpus, backbone, rows)
    for line in report.summary:
        say(line)
    say(f"report: {report.path}")


def check_backbone(recipe: Recipe) -> None:
    """Build the network without memory, so that a wrong name or size is known before any work starts."""
    bands = recipe.corpus.bands
    SpectralProjector(**bands.model_dump())
    with torch.device("meta"):
        create_backbone(
            recipe.backbone.name,
            bands.components or bands.grid,
            recipe.corpus.patches.window,
            **{k: v for k, v in recipe.backbone.options.items() if k != "pretrained"},
        )


def hash_text(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:16]


def tensorboard(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"))


def print_on(accelerator: Accelerator) -> Any:
    return lambda text: print(text, file=sys.stderr, flush=True) if accelerator.is_main_process else None


def say_step(what: str, done: int, total: int) -> None:
    print(f"preparing {done}/{total}: {what}", file=sys.stderr, flush=True)


def gather_for(world: int) -> Any:
    """Collect one object from each process."""
    return None if world == 1 else lambda value: gather_object([value])


def claim_on_main(folder: Path, accelerator: Accelerator) -> AbstractContextManager[Any]:
    """Lock the run directory on the main process; every process hears of a refusal."""
    lock: AbstractContextManager[Any] = nullcontext()
    problem: list[str | None] = [None]
    if accelerator.is_main_process:
        try:
            lock = claim(folder)
        except InputError as error:
            problem = [str(error)]
    if accelerator.num_processes > 1:
        broadcast_object_list(problem)
    if problem[0]:
        raise InputError(problem[0])
    return lock


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if words else 2
    try:
        pretrain(load_recipe(words[0], words[1:]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
