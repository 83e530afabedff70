"""Means, spreads, intervals and paired differences are NumPy's and SciPy's."""

import numpy as np
import pytest
from scipy.stats import wilcoxon

from sslhsi.errors import InputError
from sslhsi.evaluation.rows import ResultRow
from sslhsi.evaluation.summary import by_split, differences, summarise, tabulate


@pytest.fixture
def scores():
    """OA of two methods by (setting, seed): settings of 8, 5 and 1 seeds, the second method lacks a seed of one."""
    rng = np.random.default_rng(5)
    seeds = {"easy": 8, "hard": 5, "all": 1}
    first = {(name, seed): 70 + rng.normal() for name, n in seeds.items() for seed in range(n)}
    second = {key: oa - 1 + rng.normal() for key, oa in first.items() if key != ("hard", 4)}
    return first, second


def paired(scores, setting):
    first, second = scores
    return np.array([oa - second[key] for key, oa in first.items() if key[0] == setting and key in second])


def test_a_summary_is_mean_deviation_and_interval():
    values = np.random.default_rng(0).normal(70, 2, 20)
    over = summarise(values)
    assert (over.mean, over.std, over.seeds) == (pytest.approx(values.mean()), pytest.approx(values.std(ddof=1)), 20)
    # The interval is near the normal one of the mean.
    half = 1.96 * values.std() / len(values) ** 0.5
    assert (over.low, over.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.2 * half)
    assert f"{over} {over:.2f}" == f"{over.mean:.1f} ± {over.std:.1f} {over.mean:.2f} ± {over.std:.2f}"
    assert over.interval == f"{over.low:.1f} to {over.high:.1f}"


def test_few_seeds_have_no_interval_and_one_no_deviation():
    two, one = summarise([70.0, 72.0]), summarise([70.0])
    assert (two.std, two.low, two.high, two.interval) == (pytest.approx(2**0.5), None, None, "")
    assert (one.std, str(one)) == (None, "70.0")
    with pytest.raises(InputError, match="at least one"):
        summarise([])


def test_the_highest_of_a_line_or_column_is_marked_with_what_prints_the_same():
    rows = [("a", 1, 70.04), ("a", 2, 60.0), ("b", 1, 70.01), ("b", 2, 50.0), ("c", 3, 10.0), ("c", 1, None)]

    def marked(best):
        table = tabulate(rows, lambda r: r[0], lambda r: r[1], lambda r: r[2], best=best)
        return {(line, column) for line, cells in table.items() for column, cell in cells.items() if cell.best}

    assert marked("line") == {("a", 1), ("b", 1)}
    assert marked("column") == {("a", 1), ("b", 1), ("a", 2)}


def test_differences_are_taken_split_by_split_and_averaged_over_settings(scores):
    gain = differences(*scores)
    parts = {name: paired(scores, name) for name in ("easy", "hard", "all")}
    assert {name: len(some) for name, some in parts.items()} == {"easy": 8, "hard": 4, "all": 1}
    assert gain.by_setting == {name: pytest.approx(list(some)) for name, some in parts.items()}
    means = [some.mean() for some in parts.values()]
    assert gain.mean == pytest.approx(np.mean(means))
    assert gain.wins == sum(mean > 0 for mean in means)
    variances = [some.var(ddof=1) / len(some) for some in (parts["easy"], parts["hard"])]
    assert gain.standard_error == pytest.approx(np.sqrt(sum(variances)) / 3)
    # Seeds are redrawn within settings: the half interval is near 1.96 of the biased standard error.
    half = 1.96 * np.sqrt(sum(some.var() / len(some) for some in parts.values())) / 3
    assert gain.interval == pytest.approx((gain.mean - half, gain.mean + half), abs=0.2 * half)
    assert gain.sure == (gain.interval[0] > 0 or gain.interval[1] < 0)


def test_seeds_are_compared_over_the_settings_that_draw(scores):
    first, second = scores
    gain = differences(first, second)
    by_seed = []
    for seed in range(8):
        keys = [(name, seed) for name in ("easy", "hard") if (name, seed) in second]
        by_seed.append(np.mean([first[key] for key in keys]) - np.mean([second[key] for key in keys]))
    over = gain.over_seeds()
    assert over.difference == pytest.approx(np.mean(by_seed))
    assert over.p_value == pytest.approx(wilcoxon(by_seed).pvalue)
    assert (over.wins, over.n) == (sum(gap > 0 for gap in by_seed), 8)
    single = differences({("all", 0): 71.0}, {("all", 0): 70.0})
    assert single.over_seeds().difference == 1.0
    assert (single.interval, single.sure) == (None, False)


def test_methods_without_a_shared_split_have_no_differences(scores):
    assert not differences(scores[0], {("elsewhere", 0): 1.0})


def test_scores_by_split_pass_notes_over_and_keep_the_last():
    rows = [
        ResultRow(method="m", probe="SVM", per_class=5, seed=0, oa=50.0),
        ResultRow(method="m", probe="SVM", per_class=5, seed=0, oa=60.0),
        ResultRow(method="m", probe="SVM", per_class=5, seed=1, note="too small"),
    ]
    assert by_split(rows, lambda row: row.per_class) == {(5, 0): 60.0}
