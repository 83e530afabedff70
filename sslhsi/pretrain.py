"""Pretrain a backbone without labels: the main job, from a recipe to an evaluated backbone.

    accelerate launch sslhsi/pretrain.py recipes/simclr_multidomain.yaml [key=value ...]

Reads the recipe, prepares the corpus (once, cached by content), trains the recipe's self-supervised method
on as many processes as Accelerate starts, evaluates the backbone beside the same network with random
weights, and leaves a run directory: recipe.yaml, provenance.json, metrics.csv, TensorBoard
log, checkpoints, results.csv, backbone/ and report.html.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    # Launched as a script: put the package's parent first instead of the package itself.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn

from sslhsi.backbones.build import recipe_config
from sslhsi.corpus.corpus import Corpus
from sslhsi.corpus.prepare import prepare
from sslhsi.corpus.reader import PatchReader
from sslhsi.encoder.load import read_weights
from sslhsi.encoder.save import save_backbone
from sslhsi.errors import InputError
from sslhsi.evaluation.evaluate_run import evaluate_run
from sslhsi.evaluation.monitor import Monitor, collapse
from sslhsi.files import read_rows, write_atomic, write_rows
from sslhsi.methods.base import Batch, JointEmbedding, Method
from sslhsi.methods.registry import create_method
from sslhsi.ranks import all_ranks
from sslhsi.recipe import Recipe, load_recipe
from sslhsi.report.run_report import write_report
from sslhsi.training.batches import Batches, TrainingData, ahead
from sslhsi.training.checkpoint import Checkpoint, save_checkpoint
from sslhsi.training.diverged import LossWatch, diverged
from sslhsi.training.grad_cache import cached_backward
from sslhsi.training.initialisation import Weights, check_networks, initialise
from sslhsi.training.lost import LOST, lost_process
from sslhsi.training.memory import keep_freed_memory
from sslhsi.training.optimiser import create_optimiser
from sslhsi.training.processes import claim_on_main, create_accelerator, gather_for, print_on
from sslhsi.training.progress import progress
from sslhsi.training.provenance import provenance
from sslhsi.training.resume import fingerprint, resume_from
from sslhsi.training.run_dir import Metrics
from sslhsi.training.schedule import warmup_cosine
from sslhsi.training.stop import Stopped, hold_signals, raise_on_signals
from sslhsi.training.sync_batchnorm import synchronise_batchnorm
from sslhsi.views import hash_seed


def pretrain(recipe: Recipe) -> Path:
    """Run a recipe on every process that called this; returns the run directory.

    Raises:
        InputError: The recipe, the data or the disk won't do; the same on every process.
    """
    accelerator = create_accelerator(recipe.training.timeout)
    rank, world = accelerator.process_index, accelerator.num_processes
    gather, say = gather_for(world), print_on(accelerator)
    with claim_on_main(recipe.run_dir, accelerator):
        with all_ranks(gather):
            source = recipe.backbone.weights
            weights = None if source is None else Weights(source, read_weights(source, "backbone.weights"))
            check_networks(recipe, weights)
        began = time.perf_counter()
        corpus = prepare(recipe, rank=rank, world=world, gather=gather, progress=None if rank else say_step)
        for line in corpus.notes:
            say(f"note: {line}")
        data = TrainingData.of(recipe, corpus, world)
        window = recipe.corpus.patches.window
        say(
            f"corpus {corpus.folder}: {len(corpus.scenes)} scenes, {len(corpus.domains)} domains, "
            f"{len(data.windows):,} patches of {window}x{window}x{corpus.channels}, prepared in "
            f"{time.perf_counter() - began:.1f} s"
        )
        set_seed(recipe.seed)
        networks = initialise(recipe, weights, accelerator.device, gather)
        say("\n".join(networks.lines))
        mark = fingerprint(recipe, corpus.key, data.steps, networks.record, world)
        checkpoint = resume_from(recipe, mark, corpus, data.steps, say, gather)
        if rank == 0:
            origin = provenance(
                corpus, processes=world, steps=data.steps, backbone=str(recipe.backbone.name), **networks.record
            )
            write_atomic(recipe.run_dir / "provenance.json", json.dumps(origin, indent=1) + "\n")
            write_atomic(recipe.run_dir / "recipe.yaml", recipe.dump())
        keep_freed_memory()
        loop = Loop(recipe, accelerator, data, networks.backbone, mark, checkpoint)
        loop.run()
        # The others need not wait, and run out of patience, while one process evaluates.
        accelerator.wait_for_everyone()
        accelerator.end_training()
        if rank == 0:
            exported, untrained = loop.method.exported(), networks.untrained
            finish(recipe, corpus, exported.to(accelerator.device), untrained.to(accelerator.device), say)
    return recipe.run_dir


class Loop:
    """A run's method, its optimiser, and the steps that train it.

    Args:
        recipe: The recipe.
        accelerator: Devices and processes.
        data: What is trained on.
        backbone: The network, trained in place.
        mark: The run's fingerprint, kept in every checkpoint; the precision is part of it.
        checkpoint: To go on from; None starts at step 0.
    """

    def __init__(
        self,
        recipe: Recipe,
        accelerator: Accelerator,
        data: TrainingData,
        backbone: nn.Module,
        mark: Mapping[str, Any],
        checkpoint: Checkpoint | None,
    ) -> None:
        self.recipe, self.accelerator, self.data, self.mark = recipe, accelerator, data, mark
        self.training, device = recipe.training, accelerator.device
        self.rank, self.world = accelerator.process_index, accelerator.num_processes
        self.method = create_method(recipe.method.name, backbone, recipe.method.options)
        self.batches = Batches(recipe, data, self.method, device, self.rank, self.world)
        if self.world > 1 and self.training.sync_batchnorm:
            synchronise_batchnorm(self.method, device)
        optimiser = create_optimiser(self.method, self.training)
        self.start = 0
        if checkpoint:
            self.start = checkpoint.step
            self.method.load_state_dict(checkpoint.model)
            optimiser.load_state_dict(checkpoint.optimiser)
        # Gradient caching passes through the network more than once a step and averages its gradients itself.
        self.model = accelerator.prepare_model(self.method, evaluation_mode=self.training.micro_batch > 0)
        self.optimiser = accelerator.prepare_optimizer(optimiser)
        self.mixed = partial(torch.autocast, device.type, torch.bfloat16, enabled=mark["precision"] == "bf16")
        self.watch = LossWatch(device)

    def run(self) -> None:
        """All steps from the checkpoint on; metrics and further checkpoints go into the run directory."""
        training, steps = self.training, self.data.steps
        self.model.train()
        with Log(self.recipe, self.data, self.method, self.start, show=self.rank == 0) as log, hold_signals() as stop:
            log.begin(self.batches.reader)
            for step, batch in enumerate(ahead(self.batches, self.start, steps), self.start):
                # Every random number is a function of (seed, step, rank), so that a resumed run repeats none.
                torch.manual_seed(seed := hash_seed(self.recipe.seed, step, self.rank))
                rate = training.lr * warmup_cosine(step, steps, training.warmup)
                for group in self.optimiser.param_groups:
                    group["lr"] = rate
                self.optimiser.zero_grad()
                loss, further = self.backward(batch, seed)
                self.watch.note(loss, step)
                norm = self.accelerator.clip_grad_norm_(self.model.parameters(), training.clip or math.inf)
                self.optimiser.step()
                self.method.after_step(step, steps)

                done, end = step + 1, step + 1 == steps
                signal = 0 if end else stop.agreed(self.accelerator, done)
                saves = done % training.checkpoint_every == 0 or end or signal
                logs = done % training.log_every == 0 or end
                if logs or saves:
                    # Before a checkpoint is written, so that the last one kept is a good one.
                    values = self.mean_over_ranks({"loss": loss, **further}, step)
                if logs:
                    log.add(done, {**values, "lr": rate, "grad_norm": float(norm)}, self.batches.reader)
                if saves and self.rank == 0:
                    weights, state = self.method.state_dict(), self.optimiser.state_dict()
                    save_checkpoint(self.recipe.run_dir, done, weights, state, self.mark, training.keep_checkpoints)
                if signal:
                    # A scheduler may end all at the first exit; the checkpoint must be whole by then.
                    self.accelerator.wait_for_everyone()
                    raise Stopped(signal)

    def backward(self, batch: Batch, seed: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss of this process and the method's further columns, detached; gradients are averaged over all."""
        if self.training.micro_batch:
            assert isinstance(self.method, JointEmbedding)
            return cached_backward(self.method, batch.views, self.training.micro_batch, seed, self.mixed), {}
        with self.mixed():
            loss, further = self.model(batch)
        self.accelerator.backward(loss)
        return loss.detach(), further

    def mean_over_ranks(self, values: Mapping[str, Tensor], step: int) -> dict[str, float]:
        """Means of each process's values.

        Raises:
            InputError: The loss is not a finite number; names the batch of the step where it first was none.
        """
        means = {key: float(self.accelerator.reduce(value.detach(), "mean")) for key, value in values.items()}
        if not math.isfinite(means["loss"]):
            first = step if self.watch.first is None else self.watch.first
            windows = self.batches.windows_of(first)
            run, corpus, reader = self.recipe.run_dir, self.data.corpus, self.batches.reader
            raise diverged(run, corpus, reader, windows, first, write=self.rank == 0)
        return means


class Log(ExitStack):
    """metrics.csv, TensorBoard's log and the progress of a run; on all processes but the main one it does nothing."""

    def __init__(self, recipe: Recipe, data: TrainingData, method: Method, start: int, *, show: bool) -> None:
        super().__init__()
        self.recipe, self.data, self.method, self.show = recipe, data, method, show
        self.clock, self.done, self.watched = time.perf_counter(), start, ""
        title = f"{recipe.name}: step" if not start else f"{recipe.name}: resumed at {start}, step"
        self.advance = self.enter_context(progress(title, data.steps, start, show=show))
        if show:
            self.metrics = Metrics(recipe.run_dir, start, method.columns)
            self.callback(self.metrics.close)
            self.rows: list[Mapping[str, Any]] = list(read_rows(recipe.run_dir / "metrics.csv"))
            self.collapsed = collapse(self.rows)
            if recipe.training.monitor_every:
                self.monitor = Monitor(data.corpus, recipe.corpus.patches, recipe.evaluation.k)

    def begin(self, reader: PatchReader) -> None:
        """Log what the monitor sees before the first step, which later figures are compared with."""
        if self.show and self.recipe.training.monitor_every and not self.done:
            self.metrics.add({"step": 0, "epoch": 0.0, **self.measure(0, reader)})
            self.clock = time.perf_counter()

    def add(self, done: int, values: Mapping[str, float], reader: PatchReader) -> None:
        """Log a step, with what the monitor sees where that is due."""
        if not self.show:
            return
        measured = self.measure(done, reader) if self.monitor_is_due(done) else {}
        per_epoch, now = self.data.sampler.steps_per_epoch, time.perf_counter()
        patches = (done - self.done) * self.recipe.training.batch_size
        row = {
            "step": done,
            "epoch": round(done / per_epoch, 3),
            **values,
            "patches_per_second": round(patches / (now - self.clock), 1),
            **measured,
        }
        self.clock, self.done = time.perf_counter(), done
        self.metrics.add(row)
        self.advance(done, f"loss {values['loss']:.3f}{self.watched}")

    def measure(self, done: int, reader: PatchReader) -> dict[str, float | str]:
        """What the monitor sees, empty where it can't be measured; a collapse is named once."""
        measured = self.monitor(self.method.exported(), reader)
        row: dict[str, float | str] = {key: "" if math.isnan(value) else value for key, value in measured.items()}
        knn = "" if row["knn"] == "" else f"  k-NN {measured['knn']:.1f} %"
        self.watched = f"{knn}  rank {measured['rank']:.1f}  spread {measured['spread']:.2f}"
        self.rows.append({"step": done, **row})
        if not self.collapsed and (sentence := collapse(self.rows)):
            print(f"warning: {sentence}", file=sys.stderr, flush=True)
            self.collapsed = sentence
        return row

    def monitor_is_due(self, done: int) -> bool:
        """Whether ``training.monitor_every`` epochs have been completed since the last logged step."""
        training = self.recipe.training
        every = training.monitor_every * self.data.sampler.steps_per_epoch
        return bool(every) and (done == self.data.steps or done // every != (done - training.log_every) // every)


def finish(
    recipe: Recipe, corpus: Corpus, backbone: nn.Module, untrained: nn.Module, say: Callable[[str], None]
) -> None:
    """Write the backbone, evaluate it beside its baselines, and draw the report."""
    config = recipe_config(recipe, corpus.key)
    save_backbone(recipe.run_dir / "backbone", backbone.eval(), corpus.projector, config)
    say("evaluating the backbone beside the same network with random weights")
    rows = evaluate_run({"pretrained": backbone, "random weights": untrained.eval()}, corpus, recipe)
    write_rows(recipe.run_dir / "results.csv", [row.to_csv() for row in rows])
    report = write_report(recipe.run_dir, recipe, corpus, backbone, rows)
    for line in (*report.summary, f"report: {report.path}"):
        say(line)


def say_step(what: str, done: int, total: int) -> None:
    """Print how far the preparation of the corpus is."""
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
