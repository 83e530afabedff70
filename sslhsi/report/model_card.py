"""The page that goes with a published backbone, made from what its run wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from omegaconf import OmegaConf

from sslhsi.backbones.base import BACKBONES
from sslhsi.bands.projection import Projection
from sslhsi.evaluation.rows import ResultRow
from sslhsi.evaluation.summary import Summary
from sslhsi.methods.registry import method_class
from sslhsi.recipe import Recipe
from sslhsi.report import tables
from sslhsi.report.verdict import verdict

SCOPES = {
    "all": "all pixels",
    "foreground": "the scenes' foreground",
    "train": "foreground that is not held out",
}


def model_card(
    config: Mapping[str, Any],
    projection: Projection,
    parameters: int,
    recipe: Recipe,
    provenance: Mapping[str, Any],
    rows: Sequence[ResultRow],
    licence: str,
    where: str,
) -> str:
    """Markdown with YAML front matter as the Hugging Face Hub reads it.

    No path, host or user name of the machine that ran gets onto the page: files are named without their folders.

    Args:
        config: config.json of the backbone.
        projection: What brings a camera's bands to the network's channels.
        parameters: Of the network.
        recipe: Of the run.
        provenance: The run's provenance.json.
        rows: Result rows of the backbone and of its baselines; may be empty.
        licence: Identifier, or ``unknown``.
        where: What a reader gives to ``load_backbone``.
    """
    projector = {"kind": projection.kind, **projection.state()}
    scenes = [_scene(name, entry, recipe) for name, entry in provenance["corpus"]["scenes"].items()]
    settings = recipe.model_dump(mode="json", exclude={"corpus", "output", "name"})
    settings["corpus"] = recipe.corpus.model_dump(mode="json", include={"bands", "patches"})
    start = recipe.backbone.weights or ""
    # Without what named weights on this machine.
    settings["backbone"] = {"name": recipe.backbone.name, "options": config.get("options") or {}}
    table = tables.results_table(rows)
    heads, body = _grid(table)
    timm = _timm(str(config["architecture"]))
    front = ModelCardData(
        license=licence,
        library_name="timm" if timm == "own" else "sslhsi",
        pipeline_tag="image-feature-extraction",
        tags=["hyperspectral", "remote-sensing", "self-supervised", "feature-extraction", "sslhsi"],
    )
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["cell"] = cell
    text = environment.get_template("model_card.md.jinja").render(
        front_matter=front.to_yaml().strip(),
        name=config["name"],
        key=re.sub(r"\W", "_", str(config["name"])),
        config={"stem": None, **config},
        projector=projector,
        explained=float(projection.ratio.sum()),
        parameters=parameters,
        scope=SCOPES.get(str(projector.get("scope")), projector.get("scope", "")),
        recipe=recipe,
        uses_labels=method_class(recipe.method.name).uses_labels,
        recipe_text=OmegaConf.to_yaml(OmegaConf.create(settings)).strip(),
        provenance=provenance,
        scenes=scenes,
        simulated=sum(s["simulated"] for s in scenes),
        table=table,
        heads=heads,
        body=body,
        verdict=verdict(rows),
        raw=next((row.method for row in rows if row.method in tables.RAW), None),
        notes=[cell(note) for note in tables.notes(rows)],
        start=PurePosixPath(start).name if start.startswith(("/", ".", "~")) else start,
        licence=licence,
        where=where,
        timm=timm,
    )
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def _timm(architecture: str) -> str:
    """Whether timm builds the network: ``own`` (by itself), ``registered`` (once sslhsi is imported) or ``no``."""
    if architecture.startswith("timm/"):
        return "no"
    return "registered" if architecture.split(".")[0] in BACKBONES else "own"


def cell(value: Any) -> str:
    """Text that breaks no Markdown table and opens no tag."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")


def _scene(name: str, entry: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """One line of the corpus table; camera and domain where the recipe names them."""
    source = str(entry["source"])
    simulated = source.startswith("simulated:")
    asked = [one for one in recipe.corpus.scenes if one.origin == source or one.name == name][-1:]
    sensor, domain, held_out = next(
        ((one.sensor, one.domain or one.simulated, one.holdout) for one in asked), ("", "", 0)
    )
    return {
        "name": name,
        "file": source if simulated else PurePosixPath(source.replace("\\", "/")).name,
        "hash": entry["hash"],
        "shape": entry["shape"],
        "sensor": sensor,
        "domain": domain or "",
        "note": "held out" if held_out else "",
        "simulated": simulated,
    }


def _grid(table: tables.Table) -> tuple[list[str], list[list[str]]]:
    """Heads and cells of the results: mean [low, high], the best of a line in bold."""
    if not table.lines:
        return [], []
    stated = [n for n, _ in enumerate(tables.KEYS) if any(line.texts[n] for line in table.lines)]
    heads = [*(tables.title(tables.KEYS[n]) for n in stated), "leak", "pretraining saw pixels", "splits"]
    heads += [f"{tables.probe_title(probe)}: {method}" for probe, method in table.columns]
    body = []
    for line in table.lines:
        about = [*(line.texts[n] for n in stated), tables.percent(line.leak), line.pretraining_saw_pixels, line.seeds]
        body.append([*map(cell, about), *(_score(line.cells.get(column)) for column in table.columns)])
    return heads, body


def _score(summary: Summary | None) -> str:
    if summary is None:
        return ""
    interval = "" if summary.low is None else f" [{summary.low:.1f}, {summary.high:.1f}]"
    return (f"**{summary.mean:.1f}**" if summary.best else f"{summary.mean:.1f}") + interval
