"""results/README.md: the measured tables, made from the CSV files beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from sslhsi.files import write_atomic

Row = Mapping[str, Any]
CONDITIONS = ("all scenes", "the scene alone", "all but the scene")
INTRO = """# Measured results

Made by `make results` (`results/make_results.py`), which pretrains, judges and writes this page; nothing
here is typed by hand. OA, AA and kappa of every seed are in the CSV files, with the corpus hash, the code
revision and the machine. Mean ± sample standard deviation over splits, percent OA.

**How to read it.** *Random weights* is the same network, untrained, on the same projection, drawn anew for each
of five splits and then again in turn. *Pretrained on all but the scene* is five pretrainings in turn, each begun
from the very weights of the untrained network that stands beside it, so that a lucky start counts for neither.
*All scenes*, *the scene alone* and all of the recipe for broad fields are one pretraining each. *Raw spectra* are
the camera's own bands, without any network. Both probes see identical splits: k-NN (cosine, weighted vote, k = 20
clamped to the training pixels) and a linear probe (standardised features, logistic regression, C chosen on training
pixels). *leak* is the share of test windows that contain a training pixel: under `random` it is high, which is why
`blocks` stands beside it, where it is zero. The spectral projection is fitted on the pretraining scenes only,
without labels; every scene is standardised and its noise whitened by its own unlabelled pixels, the test pixels
among them. Pretraining under *all scenes* and *the scene alone* saw the test pixels, without labels; under *all but
the scene* it never saw that scene at all.
**What was chosen how.** Window, radii, whitening and augmentations of the pixel recipe and of its variant for
broad fields were tried on these four scenes, on other splits of the same pixels: the figures are slightly
optimistic for all networks here, trained or not. The random features and the temperature of the pixel recipe were
chosen on MUUFL, where pretraining without them had come out level with random weights: that may flatter pretraining
there. Nothing was chosen by seed. For the experiments of labelled transfer, docs/transfer.md names what was chosen
after its figures were seen. `indian_pines_8bit` is an 8-bit version of Indian Pines: not comparable with published
figures of the full-precision cube.
**Points** behind "beats": the paired difference, split by split, averaged over the settings, ± its standard error.

Elsewhere: [label_efficiency.html](label_efficiency.html), all methods with maps; [transfer](transfer), the
experiments of labelled transfer (`python results/make_transfer.py`), and [reproduce.md](reproduce.md), the papers'
tables beside them (`make reproduce`); [speed](speed), speed and memory against a peer (`make bench`);
[backbones](backbones) and [maps](maps).
"""
DOMAINS = """Windows share no pixel: training windows lie side by side in ground that pretraining saw, test windows in
ground that it never saw. *Mean spectrum* is a window's average without any network. On the real scenes it is the
average of standardised bands; over a whole scene those are zero, so that held-out ground tends to the opposite sign
of the rest, which is why a linear probe on it falls below chance there."""
TYPES = """Airport, beach or urban: the scenes of a fold are left out, whole, of pretraining and of the probes'
training; five pretrainings in turn, each beside the untrained network that it began from. Eleven scenes are few: two
to four show what a type looks like, three or four are judged on, so that a fold says as much about its scenes as
about a method."""

LABELS = """5 to 30 training samples per class. The networks are those of the pixel recipe without random features
(`backbone.options.random=0 method.options.temperature=0.1`), pretrained once, on all scenes but the one they are
judged on; *from scratch* is supervised training of the same network from random weights. 10 seeds, fine-tuning 3.
Every row, with its intervals and both leak figures, is in the `labels_*.csv` files; the curves are in
[curves](curves), and `label_efficiency.html` compares the methods, with maps and splits. Real scenes, 8-bit scenes
and stand-ins have tables of their own."""
CALIBRATION = """An SVM on the spectra of each stand-in, random split, less what was published for the real scene
(Liu and Shi, GRSL 2020), in points of OA: the stand-ins are made about as hard as the scenes they stand for."""
METHODS = ("raw spectra", "random weights", "pretrained", "from scratch")
PROBES = ("SVM", "k-NN", "linear", "fine-tune")


def write_page(folder: Path, parts: Mapping[str, Sequence[Row]]) -> None:
    """Write README.md into the folder of results."""
    blocks = [INTRO]
    for part in ("indian_pines", "indian_pines_field", "small_scenes"):
        blocks += pixel_tables(parts.get(part, ()), part.endswith("_field"))
    if labelled := [row for part, rows in parts.items() if part.startswith("labels_") for row in rows]:
        blocks += ["## Label efficiency", LABELS, *label_tables(labelled)]
    if parts.get("calibration"):
        blocks += ["### Difficulty of the stand-ins", CALIBRATION, calibration_table(parts["calibration"])]
    if parts.get("domains"):
        blocks += ["## Patches by domain", DOMAINS]
        blocks += patch_tables(parts["domains"])
    if parts.get("types"):
        folds = [r for r in parts["types"] if r["scene"].startswith("fold")]
        blocks += ["## Patches by scene type", TYPES, *scene_tally(r for r in parts["types"] if r not in folds)]
        blocks += patch_tables(folds)
    write_atomic(folder / "README.md", "\n\n".join(b.rstrip() for b in blocks) + "\n")


def pixel_tables(rows: Sequence[Row], field: bool) -> Iterable[str]:
    for scene in dict.fromkeys(r["scene"] for r in rows):
        mine = [r for r in rows if r["scene"] == scene]
        yield f"## Pixels of {scene}" + (", recipe for broad fields" if field else "")
        for probe, title in (("linear", "Linear probe"), ("k-NN", "k-NN")):
            columns = [(f"pretrained on {c}", {"pretraining": c, "method": "pretrained"}) for c in CONDITIONS]
            # The untrained network of the honest condition, whose projection never saw the scene either.
            columns += [(method, {"method": method}) for method in ("random weights", "raw spectra")]
            yield f"{title}, window {mine[0]['window']}. {tally([r for r in mine if r.get('probe') == probe])}"
            yield table(mine, {"probe": probe}, columns)
        if noted := sorted({f"- {r['protocol']}: {r['note']}" for r in mine if r.get("note")}):
            yield "\n".join(noted)


def label_tables(rows: Sequence[Row]) -> Iterable[str]:
    """A table per scene: a line per protocol, a column per method and probe."""
    for scene in dict.fromkeys(r["scene"] for r in rows):
        mine = [r for r in rows if r["scene"] == scene]
        kind = mine[0]["kind"]
        yield f"### {scene}" + ("" if kind in ("real", scene.split(":")[0]) else f" ({kind})")
        pairs = sorted(
            {(r["method"], r["probe"]) for r in mine}, key=lambda p: (METHODS.index(p[0]), PROBES.index(p[1]))
        )
        yield table(mine, {}, [(f"{method}, {probe}", {"method": method, "probe": probe}) for method, probe in pairs])
        if noted := sorted({f"- {r['protocol']}: {r['note']}" for r in mine if r.get("note") and not r.get("oa")}):
            yield "\n".join(noted)


def calibration_table(rows: Sequence[Row]) -> str:
    sizes = list(dict.fromkeys(r["per_class"] for r in rows))
    lines = ["| stand-in | " + " | ".join(f"{n} per class" for n in sizes) + " |", "|---" * (len(sizes) + 1) + "|"]
    for scene in dict.fromkeys(r["scene"] for r in rows):
        cells = [f"{r['difference']:+.1f} (± {r['std']:.1f})" for r in rows if r["scene"] == scene]
        lines.append(f"| {scene} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def tally(rows: Sequence[Row]) -> str:
    """Features pretrained on all but the scene against what needs no pretraining: settings won, and mean difference.

    The difference is paired, split by split; its standard error is over splits within settings.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for r in rows:
        if r.get("oa") and r["pretraining"] in ("none", CONDITIONS[2]):
            found.setdefault(r["protocol"], {}).setdefault(r["method"], {})[r["seed"]] = float(r["oa"])
    # A part that another process is still measuring has protocols without all methods.
    whole = [methods for methods in found.values() if len(methods) == 3]
    said = []
    for other in ("random weights", "raw spectra"):
        differences = [
            [oa - m[other][seed] for seed, oa in m["pretrained"].items() if seed in m[other]] for m in whole
        ]
        wins = sum(fmean(m["pretrained"].values()) > fmean(m[other].values()) for m in whole)
        means = [fmean(d) for d in differences if d]
        # A split without chance has one difference and no spread.
        errors = [stdev(d) / len(d) ** 0.5 if len(d) > 1 else 0.0 for d in differences if d]
        error = sum(e**2 for e in errors) ** 0.5 / max(1, len(errors))
        said.append(f"{other} in {wins}" + (f" ({fmean(means):+.1f} ± {error:.1f} points)" if means else ""))
    return f"Pretrained on all but the scene beats {' and '.join(said)} of {len(whole)} settings.{_each(rows)}"


def _each(rows: Sequence[Row]) -> str:
    """What each of several pretrainings gained on the untrained network that it began from, over all settings."""
    untrained = {
        (r["protocol"], r["seed"]): float(r["oa"]) for r in rows if r["method"] == "random weights" and r["oa"]
    }
    gains: dict[str, list[float]] = {}
    for r in rows:
        if r.get("oa") and r["pretraining"] == CONDITIONS[2] and (place := (r["protocol"], r["seed"])) in untrained:
            gains.setdefault(r["backbone"], []).append(float(r["oa"]) - untrained[place])
    means = [f"{mean:+.1f}" for mean in sorted(map(fmean, gains.values()))]
    return f" Each pretraining beside its own start: {', '.join(means)}." if len(means) > 1 else ""


def patch_tables(rows: Sequence[Row]) -> Iterable[str]:
    for scene in dict.fromkeys(r["scene"] for r in rows):
        mine = [{**r, "protocol": _amount(r["per_class"])} for r in rows if r["scene"] == scene]
        yield f"### {scene[0].upper()}{scene[1:]}"
        yield patch_tally(mine)
        columns = [
            (f"{method}, {probe}", {"method": method, "probe": probe})
            for probe in ("k-NN", "linear")
            for method in ("pretrained", "random weights", "mean spectrum")
        ]
        yield table(mine, {}, columns)


def patch_tally(rows: Sequence[Row]) -> str:
    """Pretrained features against untrained ones: settings won, and mean difference."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for r in rows:
        if r.get("oa"):
            found.setdefault((r["protocol"], r["probe"]), {}).setdefault(r["method"], []).append(float(r["oa"]))
    differences = [fmean(m["pretrained"]) - fmean(m["random weights"]) for m in found.values()]
    wins, mean = sum(d > 0 for d in differences), fmean(differences)
    return f"Pretrained beats random weights in {wins} of {len(differences)} settings ({mean:+.1f} points)."


def scene_tally(rows: Iterable[Row]) -> Iterable[str]:
    """Gain on untrained networks with a scene as the unit; all windows train."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for r in rows:
        found.setdefault(r["probe"], {}).setdefault(r["scene"], {}).setdefault(r["method"], []).append(float(r["oa"]))
    for probe, scenes in found.items():
        gains = {name: fmean(m["pretrained"]) - fmean(m["random weights"]) for name, m in scenes.items()}
        mean, error = fmean(gains.values()), stdev(gains.values()) / len(gains) ** 0.5
        each = ", ".join(f"{name} {gain:+.1f}" for name, gain in gains.items())
        yield (
            f"Scene by scene, {probe}, all windows: {mean:+.1f} ± {error:.1f} points on random weights "
            f"(standard error over {len(gains)} scenes): {each}."
        )


def _amount(per_class: str) -> str:
    return "all windows" if per_class in ("", "all") else f"{per_class} windows per class"


def table(rows: Sequence[Row], where: Row, columns: Sequence[tuple[str, Row]]) -> str:
    """A Markdown table with a line per protocol; the best mean of a line is bold."""
    lines = ["| protocol | leak | " + " | ".join(name for name, _ in columns) + " |"]
    lines.append("|---" * (len(columns) + 2) + "|")
    for protocol in dict.fromkeys(r["protocol"] for r in rows):
        found = [
            [
                float(r["oa"])
                for r in rows
                if r["protocol"] == protocol and r.get("oa") and _matches(r, {**where, **which})
            ]
            for _, which in columns
        ]
        if not any(found):
            continue
        best = max(fmean(values) for values in found if values)
        leaks = [float(r["leak"]) for r in rows if r["protocol"] == protocol and r.get("leak")]
        cells = [_cell(values, best) for values in found]
        leak = f"{100 * fmean(leaks):.0f} %" if leaks else "?"
        lines.append(f"| {protocol} | {leak} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _matches(row: Row, which: Row) -> bool:
    return all(row.get(key) == value for key, value in which.items())


def _cell(values: Sequence[float], best: float) -> str:
    if not values:
        return "-"
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    text = f"{fmean(values):.1f}{spread}"
    return f"**{text}**" if fmean(values) == best else text
