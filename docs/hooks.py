"""What the site says about code and results is read off them: one page per network, protocol and module."""

from __future__ import annotations

import ast
import csv
import io
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sslhsi.methods.registry import list_methods, method_class  # noqa: E402
from sslhsi.recipe import Recipe  # noqa: E402
from sslhsi.recipe_file import Section, _section  # noqa: E402
from sslhsi.splits.protocols import PROTOCOLS  # noqa: E402

NETWORK_HELPERS = {
    "base",
    "registry",
    "fast",
    "transfer_weights",
    "conv2d",
    "conv3d",
    "stem_pool",
    "whole_image",
    "build",
}
PIXEL_RESULTS = ("indian_pines", "small_scenes")
Row = Mapping[str, str]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Append the generated pages to the navigation."""
    assert config.nav is not None
    config.nav += [
        {"Networks": [{title: uri} for title, uri, _ in networks()]},
        {"Protocols": [{title: uri} for title, uri, _ in protocols()]},
        {"Reference": [{"Recipe": "reference/recipe.md"}, *({title: uri} for title, uri, _ in modules())]},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages and figures."""
    pages = [*networks(), *protocols(), *modules(), ("Recipe", "reference/recipe.md", recipe_page())]
    for _, uri, text in pages:
        files.append(File.generated(config, uri, content=text))
    rows = pixel_rows()
    files.append(File.generated(config, "images/random-splits.svg", content=accuracy_figure(rows)))
    files.append(File.generated(config, "images/leak.svg", content=leak_figure(rows)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the measured table where a page asks for it."""
    if "<!-- table: splits -->" in markdown:
        markdown = markdown.replace("<!-- table: splits -->", splits_table(pixel_rows()))
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Docstrings mark what they refer to as Sphinx does; without Sphinx the code itself is enough."""
    return re.sub(r":(?:func|class|meth|mod|attr):(<code>)~?", r"\1", html)


def networks() -> list[tuple[str, str, str]]:
    """(title, uri, text) of every network."""
    pages = []
    for path in sorted((ROOT / "sslhsi" / "backbones").glob("*.py")):
        if path.stem in NETWORK_HELPERS or path.stem == "__init__":
            continue
        tree = ast.parse(path.read_text())
        classes = [
            node for node in tree.body
            if isinstance(node, ast.ClassDef) and any(getattr(b, "id", "") == "Backbone" for b in node.bases)
        ]  # fmt: skip
        for node in classes:
            name = "timm" if path.stem == "timm_backbone" else path.stem
            made = "resnet18" if name == "timm" else name
            text = (
                f"# {node.name}\n\n`sslhsi.create_backbone(\"{made}\", in_chans=..., window=...)`; in a recipe "
                f"`backbone: {{name: {made}}}`.\n\n::: sslhsi.backbones.{path.stem}.{node.name}\n"
                "    options:\n      members: [forward_features]\n"
            )  # fmt: skip
            pages.append((node.name, f"networks/{name}.md", text))
    return pages


def protocols() -> list[tuple[str, str, str]]:
    """(title, uri, text) of every named protocol, and of the DASE map."""
    pages = [("Splits", "protocols/splits.md", "# Splits\n\n::: sslhsi.splits.split\n")]
    for name, arguments in PROTOCOLS.items():
        lines = "\n".join(f"- `{key}`: {value}" for key, value in arguments.items())
        text = (
            f"# {name}\n\n{_what(arguments)}\n\n{lines}\n\n```python\nfrom sslhsi.splits.protocols import protocol\n"
            f"from sslhsi.splits.split import leak, split\n\nchosen = split(labels, \"blocks\", window=9, seed=0, "
            f"**protocol(\"{name}\"))\nprint(leak(chosen))\n```\n\nThe scheme is yours to choose: `random` to "
            "compare with published numbers, `blocks` for what happens elsewhere.\n"
        )  # fmt: skip
        pages.append((name, f"protocols/{name}.md", text))
    dase = "# DASE map of Indian Pines\n\n::: sslhsi.splits.protocols.dase_maps\n"
    return [*pages, ("DASE map of Indian Pines", "protocols/dase.md", dase)]


def _what(arguments: Mapping[str, Any]) -> str:
    if "counts" in arguments:
        return f"{sum(arguments['counts']):,} training pixels, a number of its own for each class."
    if "fraction" in arguments:
        return f"{100 * arguments['fraction']:g} % of every class trains."
    return f"{arguments['per_class']} training pixels per class."


def modules() -> list[tuple[str, str, str]]:
    """(title, uri, text) of the reference, one page per folder or module of the package."""
    pages = []
    for path in sorted((ROOT / "sslhsi").iterdir()):
        if path.stem.startswith(("_", ".")) or path.stem in ("cli", "commands"):
            continue
        if path.suffix == ".py":
            names = [f"sslhsi.{path.stem}"]
        elif path.is_dir() and (path / "__init__.py").is_file():
            names = [f"sslhsi.{path.name}.{p.stem}" for p in sorted(path.glob("[!_]*.py"))]
        else:
            continue
        text = f"# sslhsi.{path.stem}\n\n" + "\n".join(f"::: {name}\n" for name in names)
        pages.append((f"sslhsi.{path.stem}", f"reference/{path.stem}.md", text))
    return pages


def recipe_page() -> str:
    """Every key of a recipe with type, default and meaning."""
    parts = ["# Recipe\n\nA run is one YAML file; any key can be overridden as `key=value` after it.\n"]

    def add(model: type[Section], path: str) -> None:
        doc = " ".join((model.__doc__ or "").split())
        parts.append(f"\n## {path or 'top level'}\n\n{doc}\n\n| key | type | default | |\n|---|---|---|---|")
        inner: list[tuple[type[Section], str]] = []
        for key, field in model.model_fields.items():
            where = f"{path}.{key}" if path else key
            section = _section(field.annotation)
            if section is not None:
                many = "list" in str(field.annotation)
                inner.append((section, f"{where}[]" if many else where))  # type: ignore[arg-type]
                kind, default = ("list" if many else "section"), ""
            else:
                kind = kind_of(field.annotation)
                default = "required" if field.is_required() else f"`{field.default!r}`"
            parts.append(f"| `{key}` | {kind} | {default} | {field.description or ''} |")
        for section, where in inner:
            add(section, where)

    add(Recipe, "")
    for name in list_methods():
        add(method_class(name).Options, f"method.options of {name}")
    return "\n".join(parts) + "\n"


def kind_of(annotation: Any) -> str:
    """A type as a reader of YAML would call it."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_of(inner[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(map(kind_of, inner))
    if origin in (list, tuple):
        return f"{origin.__name__} of {', '.join(map(kind_of, inner))}"
    return _plain_name(getattr(annotation, "__name__", "mapping"))


def _plain_name(name: str) -> str:
    return {"NoneType": "null", "dict": "mapping", "str": "text", "int": "whole number", "float": "number"}.get(
        name, name
    )


def pixel_rows() -> list[Row]:
    """Linear probes of features that were pretrained without the scene, and of what needs no pretraining."""
    rows: list[Row] = []
    for name in PIXEL_RESULTS:
        with (ROOT / "results" / f"{name}.csv").open(newline="") as stream:
            rows += list(csv.DictReader(stream))
    return [
        r for r in rows
        if r["probe"] == "linear" and r["pretraining"] in ("all but the scene", "none")
        and r["split"] in ("random", "blocks") and r["oa"]
    ]  # fmt: skip


def settings(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """(scene, samples per class), in the order measured."""
    return list(dict.fromkeys((r["scene"], r["per_class"]) for r in rows))


def mean(rows: Sequence[Row], key: str, **wanted: str) -> float | None:
    """Over seeds; None where nothing was measured."""
    values = [float(r[key]) for r in rows if all(r[k] == v for k, v in wanted.items()) and r[key]]
    return fmean(values) if values else None


def splits_table(rows: Sequence[Row]) -> str:
    """What each split says about the same features."""
    lines = [
        "| scene | per class | leak, random | pretrained: random | blocks | gap | raw: random | blocks | gap |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for scene, per_class in settings(rows):
        at = {"scene": scene, "per_class": per_class}
        leak = mean(rows, "leak", split="random", method="pretrained", **at)
        cells = [scene, per_class, "" if leak is None else f"{100 * leak:.0f} %"]
        for method in ("pretrained", "raw spectra"):
            both = [mean(rows, "oa", split=scheme, method=method, **at) for scheme in ("random", "blocks")]
            gap = None if None in both else both[0] - both[1]  # type: ignore[operator]
            cells += ["" if value is None else f"{value:.1f}" for value in both]
            cells.append("" if gap is None else f"{gap:+.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def accuracy_figure(rows: Sequence[Row]) -> bytes:
    """OA under both splits, one panel per scene."""
    scenes = list(dict.fromkeys(r["scene"] for r in rows))
    figure = Figure(figsize=(3.1 * len(scenes), 3.2), layout="constrained")
    axes = figure.subplots(1, len(scenes), squeeze=False)[0]
    looks = {"pretrained": "tab:blue", "random weights": "tab:gray", "raw spectra": "tab:orange"}
    for axis, scene in zip(axes, scenes, strict=True):
        numbers = sorted({int(r["per_class"]) for r in rows if r["scene"] == scene})
        for method, colour in looks.items():
            for scheme, line in (("random", "--"), ("blocks", "-")):
                means = [
                    mean(rows, "oa", scene=scene, per_class=str(n), split=scheme, method=method) for n in numbers
                ]
                values = [float("nan") if value is None else value for value in means]
                label = f"{method}, {scheme}" if axis is axes[0] else None
                axis.plot(numbers, values, line, color=colour, marker="o", markersize=3, label=label)
        axis.set_title(scene, fontsize=9)
        axis.set_xlabel("training pixels per class")
        axis.set_xticks(numbers)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("overall accuracy, %")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return svg(figure)


def leak_figure(rows: Sequence[Row]) -> bytes:
    """Gap between the splits against the leak of the random one."""
    figure = Figure(figsize=(4.8, 3.2), layout="constrained")
    axis = figure.subplots()
    for method, colour in (("pretrained", "tab:blue"), ("raw spectra", "tab:orange")):
        points = []
        for scene, per_class in settings(rows):
            at = {"scene": scene, "per_class": per_class, "method": method}
            values = (
                mean(rows, "leak", split="random", **at), mean(rows, "oa", split="random", **at),
                mean(rows, "oa", split="blocks", **at),
            )  # fmt: skip
            if None not in values:
                leak, random, blocks = values
                points.append((100 * leak, random - blocks))  # type: ignore[operator]
        axis.scatter(*zip(*points, strict=True), color=colour, label=method, s=18)
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set_xlabel("test windows that contain a training pixel, %")
    axis.set_ylabel("OA, random minus blocks, points")
    axis.legend(fontsize=8, frameon=False)
    axis.grid(alpha=0.3)
    return svg(figure)


def svg(figure: Figure) -> bytes:
    """The same bytes for the same figure."""
    with matplotlib.rc_context({"svg.hashsalt": "sslhsi", "svg.fonttype": "none"}):
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
