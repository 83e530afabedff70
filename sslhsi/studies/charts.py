"""What the charts of all studies are made of: rows by place, method and size, and the words below a figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

from sslhsi.evaluation.rows import PerClass
from sslhsi.evaluation.summary import grouped, summarise
from sslhsi.report.bars import Values, grouped_bars
from sslhsi.report.chart import Chart, figure_chart
from sslhsi.report.plots import domain_style, legend_below, new_figure, short
from sslhsi.report.scores import KINDS
from sslhsi.studies.rows import PRETRAINING, Epoch, StudyRow

# What is drawn together: rows of one scene, of one kind, on one split.
PLACE = ("kind", "target", "split", "per_class")
Groups = Mapping[str, Values]
_WIDTH = 7.2  # inches that a legend of two columns takes


def places(rows: Sequence[StudyRow], columns: Sequence[str] = PLACE) -> dict[tuple, list[StudyRow]]:
    """Rows with an accuracy by what is drawn together, without those of the sources.

    Examples:
        >>> rows = [StudyRow(target="field", oa=70.0), StudyRow(target="field"), StudyRow(target="roofs", oa=60.0)]
        >>> {place: len(mine) for place, mine in places(rows, ["target"]).items()}
        {('field',): 1, ('roofs',): 1}
    """
    scored = [row for row in rows if row.oa is not None and row.method != PRETRAINING]
    return grouped(scored, lambda row: tuple(getattr(row, column) for column in columns))


def values_of(
    rows: Sequence[StudyRow],
    value: Callable[[Any], float | None],
    name: Callable[[Any], str] = lambda row: row.method,
) -> dict[str, list[float]]:
    """Numbers made of rows, by name in their order; names without any are left out.

    Examples:
        >>> values_of([StudyRow(method="T1", oa=70.0), StudyRow(method="T2")], lambda row: row.oa)
        {'T1': [70.0]}
    """
    values = {
        key: [amount for row in same if (amount := value(row)) is not None]
        for key, same in grouped(rows, name).items()
    }
    return {key: some for key, some in values.items() if some}


def by_size(
    rows: Sequence[StudyRow],
    value: Callable[[Any], float | None],
    name: Callable[[Any], str],
    whole: str = "all training samples",
) -> dict[str, dict[str, list[float]]]:
    """:func:`values_of` for each number of training samples per class, rising; ``whole`` stands for none."""
    sizes = grouped(rows, lambda row: row.per_class)
    rising = sorted(sizes, key=lambda size: (size is None, size or 0))
    return {size_words(size) or whole: values_of(sizes[size], value, name) for size in rising}


def size_words(size: PerClass) -> str:
    """``5 per class``; an empty text for None."""
    return "" if size is None else f"{size} per class"


def title_of(kind: str, target: str, split: str = "", size: PerClass = None) -> str:
    """A place in words; its kind is named unless the scene is plainly real."""
    words = [target, "" if kind == "real" else KINDS.get(kind, kind).lower(), split and f"{split} split"]
    return ", ".join(filter(None, [*words, size_words(size)]))


def means(values: Values, spec: str = ".1f") -> str:
    """Means by name in words: ``from scratch 70.5; T1 75.5``."""
    return "; ".join(f"{name} {summarise(some).mean:{spec}}" for name, some in values.items())


def over_seeds(rows: Sequence[StudyRow]) -> str:
    """What a chart's means are over, and what its whiskers are."""
    seeds = len({row.seed for row in rows})
    spread = "whiskers: one standard deviation over them" if seeds > 1 else "no spread is known"
    return f"Means over {seeds} seed{'' if seeds == 1 else 's'}; {spread}"


def group_chart(groups: Groups, head: str, label: str, title: str, caption: str, *, zero: bool = False) -> Chart:
    """Groups of upright bars, with their means in words for those who can't see them.

    Args:
        groups: Group -> name -> one value per seed.
        head: Above the figure.
        label: What the values are.
        title: Where they were measured.
        caption: What else is said below the figure.
        zero: Let the axis start at 0.
    """
    figure = grouped_bars(groups, short(head, 64), label if zero else f"{label}, not from 0")
    names = len(figure.legends[0].get_texts())
    figure.set_size_inches(max(figure.get_figwidth(), _WIDTH), 3.4 + 0.19 * -(-names // 2))
    figure.legends[0].remove()
    legend_below(figure, 2)
    if zero:
        figure.axes[0].set_ylim(bottom=0)
    said = ". ".join(f"{group}: {means(values)}" for group, values in groups.items())
    return figure_chart(figure, f"{head}, {label}, {title}. {said}", f"{title}. {caption}.")


def epochs(history: Sequence[tuple[StudyRow, Epoch]], column: str) -> dict[int, float]:
    """Means of ``loss`` or ``accuracy`` by epoch, in rising order; entries without a number are left out."""
    by_epoch = grouped((e for _, e in history if getattr(e, column) is not None), lambda e: e.epoch)
    return {epoch: fmean(getattr(e, column) for e in by_epoch[epoch]) for epoch in sorted(by_epoch)}


def curves(lines: Mapping[str, Mapping[Any, float]], title: str, x: str, y: str) -> Figure:
    """A line per name; those without points are left out, but keep their colour."""
    figure, axis = new_figure(height=3.1 + 0.19 * -(-len(lines) // 2), title=title, x=x, y=y)
    for place, (name, line) in enumerate(lines.items()):
        if line:
            style, colour = ("-", "--")[place // 7 % 2], domain_style(place)[0]
            axis.plot(list(line), list(line.values()), style, color=colour, linewidth=1.3, label=short(name, 30))
    legend_below(figure, 2, fontsize=8)
    return figure
