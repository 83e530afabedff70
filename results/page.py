"""results/README.md: the measured tables, made from the CSV files beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from sslhsi.evaluation.calibration import PUBLISHED_SVM
from sslhsi.evaluation.rows import WINDOW_MEANS, ResultRow
from sslhsi.evaluation.summary import (
    Summary,
    best_untrained,
    by_split,
    differences,
    grouped,
    leak_of,
    scored,
    summarise,
    tabulate,
)
from sslhsi.files import write_atomic
from sslhsi.report.tables import markdown

CONDITIONS = ("all scenes", "the scene alone", "all but the scene")
INTRO = """# Measured results

Made by `make results` (`results/make_results.py`), which pretrains, evaluates and writes this page; nothing
here is typed by hand. OA, AA and kappa of every seed are in the CSV files, with the corpus hash, the code
revision and the machine. Mean ± sample standard deviation over splits, percent OA.

**How to read it.** *Random weights* is the same network, untrained, on the same projection, drawn anew for each
of five splits and then again in turn. *Pretrained on all but the scene* is five pretrainings in turn, each begun
from the very weights of the untrained network that stands beside it, so that a lucky start counts for neither.
*All scenes*, *the scene alone* and all of the recipe for broad fields are one pretraining each. *Raw spectra* are
the camera's bands, without any network. *Window means* need no network either: means over boxes of 1, 3, 7 and
13 pixels, side by side, of the components that networks get, standardised or noise-whitened, whichever suits
the training pixels by validation; both stand beside it. Both probes see identical splits: k-NN (cosine,
weighted vote, k = 20 clamped to the training pixels) and a linear probe (standardised features, logistic
regression, C chosen on training pixels). *leak* is the share of test windows that contain a training pixel:
under `random` it is high, which is why `blocks` stands beside it, where it is zero. The spectral projection is
fitted on the pretraining scenes only, without labels; every scene is standardised and its noise whitened by its
unlabelled pixels, the test pixels among them. Pretraining under *all scenes* and *the scene alone* saw the test
pixels, without labels; under *all but the scene* that scene was no part of it.
**What was chosen how.** Window, radii, whitening and augmentations of the pixel recipe and of its variant for
broad fields were tried on these four scenes, on other splits of the same pixels: the figures are slightly
optimistic for all networks here, trained or not. The random features and the temperature of the pixel recipe were
chosen on MUUFL, where pretraining without them had come out level with random weights: that may flatter pretraining
there. Nothing was chosen by seed. For the experiments of labelled transfer, docs/transfer.md names what was chosen
after its figures were known. `indian_pines_8bit` is an 8-bit version of Indian Pines: not comparable with published
figures of the full-precision cube.
**Points** behind "beats": the paired difference, split by split, averaged over the settings, ± its standard error.

Elsewhere: [label_efficiency.html](label_efficiency.html), all methods with maps; [transfer](transfer), the
experiments of labelled transfer (`python results/make_transfer.py`), and [reproduce.md](reproduce.md), the papers'
tables beside them (`make reproduce`); [speed](speed), speed and memory against a peer (`make bench`);
[backbones](backbones) and [maps](maps).
"""
DOMAINS = """Windows share no pixel: training windows lie side by side where pretraining saw the pixels, test windows
where it did not. *Mean spectrum* is a window's average without any network. On the real scenes it is the
average of standardised bands; over a whole scene those are zero, so that held-out pixels tend to the opposite sign
of the rest, which is why a linear probe on it falls below chance there."""
TYPES = """Airport, beach or urban: the scenes of a fold are left out, whole, of pretraining and of the probes'
training; five pretrainings in turn, each beside the untrained network that it began from. Eleven scenes are few: two
to four show what a type looks like, three or four are evaluated on, so that a fold says as much about its scenes as
about a method."""

LABELS = """5 to 30 training samples per class. The networks are those of the pixel recipe without random features
(`backbone.options.random=0 method.options.temperature=0.1`), pretrained once, on all scenes but the one they are
evaluated on; *from scratch* is supervised training of the same network from random weights. 10 seeds, fine-tuning 3.
Every row, with its intervals and both leak figures, is in the `labels_*.csv` files; the curves are in
[curves](curves), and `label_efficiency.html` compares the methods, with maps and splits. Real scenes, 8-bit scenes
and stand-ins have separate tables."""
CALIBRATION = """An SVM on the spectra of each stand-in, random split, less what was published for the real scene
(Liu and Shi, GRSL 2020), in points of OA: the stand-ins are made about as hard as the scenes they stand for."""
MEANS = (WINDOW_MEANS, f"{WINDOW_MEANS}, whitened", f"{WINDOW_MEANS}, standardised")
METHODS = ("raw spectra", *MEANS, "random weights", "pretrained", "from scratch")
PROBES = ("SVM", "k-NN", "linear", "fine-tune")
# Parts whose rows are those of a calibrated stand-in, with the scene that it stands for.
STAND_INS = {"labels_stand_in_pavia": "pavia_university", "labels_stand_in_salinas": "salinas"}


def write_page(folder: Path, parts: Mapping[str, Sequence[ResultRow]]) -> None:
    """Write README.md into the folder of results."""
    blocks = [INTRO]
    for part in ("indian_pines", "indian_pines_field", "small_scenes"):
        blocks += pixel_tables(parts.get(part, ()), part.endswith("_field"))
    if labelled := [row for part, rows in parts.items() if part.startswith("labels_") for row in rows]:
        blocks += ["## Label efficiency", LABELS, *label_tables(labelled)]
    if calibrated := calibration_table(parts):
        blocks += ["### Difficulty of the stand-ins", CALIBRATION, calibrated]
    if domains := parts.get("domains"):
        blocks += ["## Patches by domain", DOMAINS, *patch_tables(domains)]
    if types := parts.get("types"):
        # A left-out scene by itself is all of one type, so that its rows hold no average accuracy.
        single = [row for row in types if row.aa is None]
        folds = [row for row in types if row.aa is not None]
        blocks += ["## Patches by scene type", TYPES, *scene_tally(single), *patch_tables(folds)]
    write_atomic(folder / "README.md", "\n\n".join(b.rstrip() for b in blocks) + "\n")


def pixel_tables(rows: Sequence[ResultRow], field: bool) -> Iterable[str]:
    for scene, mine in by_scene(rows).items():
        yield f"## Pixels of {scene}" + (", recipe for broad fields" if field else "")
        for probe, title in (("linear", "Linear probe"), ("k-NN", "k-NN")):
            of_probe = [row for row in mine if row.probe == probe]
            yield f"{title}, window {mine[0].window}. {tally(of_probe)}"
            # The untrained network is that of the honest condition: its projection knows nothing of the scene.
            columns = [f"pretrained on {condition}" for condition in CONDITIONS] + ["random weights"]
            columns += [*measured(of_probe, MEANS), "raw spectra"]
            yield table(
                of_probe,
                columns,
                lambda r: f"pretrained on {r.pretraining}" if r.method == "pretrained" else r.method,
            )
        yield from noted(row for row in mine if row.note)


def label_tables(rows: Sequence[ResultRow]) -> Iterable[str]:
    """A table per scene: a line per protocol, a column per method and probe."""
    for scene, mine in by_scene(rows).items():
        kind = mine[0].kind
        yield f"### {scene}" + ("" if kind == "real" or scene.startswith(kind) else f" ({kind})")
        pairs = {(row.method, row.probe) for row in mine}
        pairs = sorted(pairs, key=lambda pair: (METHODS.index(pair[0]), PROBES.index(pair[1])))
        yield table(mine, [f"{method}, {probe}" for method, probe in pairs], method_and_probe)
        yield from noted(row for row in mine if row.note and row.oa is None)


def calibration_table(parts: Mapping[str, Sequence[ResultRow]]) -> str:
    """OA of the SVM on each whole part's stand-in less the published one, by samples per class."""
    lines, sizes = [], []
    for part, name in STAND_INS.items():
        rows = [row for row in parts.get(part, ()) if row.probe == "SVM" and row.split == "random" and scored(row)]
        measured = tabulate(rows, lambda row: row.scene, lambda row: row.per_class, lambda row: row.oa)
        for scene, cells in measured.items():
            if len(cells) == len(PUBLISHED_SVM[name]):
                gaps = zip(cells.values(), PUBLISHED_SVM[name], strict=True)
                lines.append([scene, *(f"{cell.mean - oa:+.1f} (± {cell.std or 0.0:.1f})" for cell, oa in gaps)])
                sizes = list(cells)
    return "\n".join(markdown(["stand-in", *(f"{n} per class" for n in sizes)], lines)) if lines else ""


def tally(rows: Sequence[ResultRow]) -> str:
    """Features pretrained on all but the scene against what needs no pretraining: settings won, and mean difference.

    The difference is paired, split by split; its standard error is over splits within settings.
    """
    compared = [row for row in rows if scored(row) and row.pretraining in ("none", CONDITIONS[2])]
    pretrained = [row for row in compared if row.method == "pretrained"]
    ours, random, raw = (
        by_split((row for row in compared if row.method == method), lambda row: row.setting)
        for method in ("pretrained", "random weights", "raw spectra")
    )
    # A part that another process is still measuring has protocols without all methods.
    everywhere = set.intersection(*({setting for setting, _ in scores} for scores in (ours, random, raw)))
    ours = {key: oa for key, oa in ours.items() if key[0] in everywhere}
    best, _ = best_untrained(compared, lambda row: row.setting)
    said = []
    for name, scores in {"random weights": random, "the best that needs no training": best}.items():
        gain = differences(ours, scores)
        said.append(
            f"{name} in {gain.wins}" + (f" ({gain.mean:+.1f} ± {gain.standard_error:.1f} points)" if gain else "")
        )
    each = own_starts(pretrained, random)
    return f"Pretrained on all but the scene beats {' and '.join(said)} of {len(everywhere)} settings.{each}"


def own_starts(pretrained: Sequence[ResultRow], untrained: Mapping[tuple[str, int | None], float]) -> str:
    """What each of several pretrainings gained on the untrained network that it began from, over all settings."""
    networks = grouped(pretrained, lambda row: row.backbone).values()
    gains = [differences(by_split(mine, lambda row: row.setting), untrained) for mine in networks]
    means = [fmean(one for some in gain.by_setting.values() for one in some) for gain in gains if gain]
    texts = [f"{mean:+.1f}" for mean in sorted(means)]
    return f" Each pretraining beside the network it began from: {', '.join(texts)}." if len(texts) > 1 else ""


def patch_tables(rows: Sequence[ResultRow]) -> Iterable[str]:
    for scene, mine in by_scene(rows).items():
        yield f"### {scene[0].upper()}{scene[1:]}"
        gains = unpaired(mine, lambda row: (row.per_class, row.probe))
        wins, mean = sum(gain > 0 for gain in gains.values()), fmean(gains.values())
        yield f"Pretrained beats random weights in {wins} of {len(gains)} settings ({mean:+.1f} points)."
        columns = [
            f"{method}, {probe}"
            for probe in ("k-NN", "linear")
            for method in ("pretrained", "random weights", *measured(mine, MEANS), "mean spectrum")
        ]
        yield table(mine, columns, method_and_probe, amount)


def scene_tally(rows: Iterable[ResultRow]) -> Iterable[str]:
    """Gain on untrained networks, each scene counting once; all windows train."""
    for probe, mine in grouped(rows, lambda row: row.probe).items():
        gains = unpaired(mine, lambda row: row.scene)
        over = summarise(list(gains.values()))
        error = (over.std or 0.0) / over.seeds**0.5
        each = ", ".join(f"{name} {gain:+.1f}" for name, gain in gains.items())
        yield (
            f"Scene by scene, {probe}, all windows: {over.mean:+.1f} ± {error:.1f} points on random weights "
            f"(standard error over {len(gains)} scenes): {each}."
        )


def unpaired(rows: Sequence[ResultRow], setting: Callable[[ResultRow], Any]) -> dict[Any, float]:
    """Mean OA of pretrained features less that of random weights, of which there are more networks, by setting."""
    means = tabulate(rows, setting, lambda row: row.method, lambda row: row.oa)
    return {key: cells["pretrained"].mean - cells["random weights"].mean for key, cells in means.items()}


def measured(rows: Iterable[ResultRow], methods: Sequence[str]) -> list[str]:
    """Those of some methods that have rows."""
    known = {row.method for row in rows}
    return [method for method in methods if method in known]


def amount(row: ResultRow) -> str:
    return f"{row.per_class} windows per class" if isinstance(row.per_class, int) else "all windows"


def method_and_probe(row: ResultRow) -> str:
    return f"{row.method}, {row.probe}"


def by_scene(rows: Iterable[ResultRow]) -> dict[str, list[ResultRow]]:
    return grouped(rows, lambda row: row.scene)


def noted(rows: Iterable[ResultRow]) -> Iterable[str]:
    if lines := sorted({f"- {row.setting}: {row.note}" for row in rows}):
        yield "\n".join(lines)


def table(
    rows: Sequence[ResultRow],
    columns: Sequence[str],
    column: Callable[[ResultRow], str],
    line: Callable[[ResultRow], str] = lambda row: row.setting,
) -> str:
    """A Markdown table with a line per protocol; the best mean of a line is bold."""
    cells = tabulate(rows, line, column, lambda row: row.oa)
    body = []
    for name, mine in grouped(rows, line).items():
        if name in cells:
            leak = leak_of(mine)
            here = [cells[name].get(column) for column in columns]
            body.append([name, "?" if leak is None else f"{100 * leak:.0f} %", *map(_cell, here)])
    return "\n".join(markdown(["protocol", "leak", *columns], body))


def _cell(cell: Summary | None) -> str:
    return "-" if cell is None else f"**{cell}**" if cell.best else str(cell)
