"""Who leads: paired over the same splits, against SciPy and plain sums."""

from dataclasses import replace

import numpy as np
import pytest
from made_rows import METHODS, result_rows
from scipy.stats import wilcoxon

from sslhsi.report.paired import standing_sentence, standings
from sslhsi.report.scores import read_scores


def standing_of(rows):
    (standing,) = standings(read_scores(rows)[0])
    return standing


def oa(rows, method, probe, seed):
    """Mean over sizes at one seed."""
    return np.mean([r.oa for r in rows if (r.method, r.probe, r.seed) == (method, probe, seed)])


def test_pairs_take_out_how_hard_a_split_is():
    # Splits differ by 6 points, methods by 1: only pairing can tell them.
    rows = result_rows({("pretrained", "linear"): 71.0, ("raw spectra", "SVM"): 70.0}, seeds=8)
    standing = standing_of(rows)
    (duel,) = standing.duels
    gaps = [oa(rows, "pretrained", "linear", s) - oa(rows, "raw spectra", "SVM", s) for s in range(8)]
    assert str(standing.leader) == "pretrained (other scenes) under linear probe"
    assert duel.result.difference == pytest.approx(np.mean(gaps))
    assert duel.result.p_value == pytest.approx(wilcoxon(gaps).pvalue)
    assert (duel.result.wins, duel.result.n) == (sum(g > 0 for g in gaps), 8)
    assert min(gaps) <= duel.result.low < np.mean(gaps) < duel.result.high <= max(gaps)
    assert standing.sure
    text = standing_sentence(standing)
    assert text.startswith(
        "Over 8 seeds at 5, 10 per class, pretrained (other scenes) under linear probe is first with"
    )
    assert f"ahead of raw spectra under SVM by {np.mean(gaps):.1f} [" in text


def test_the_best_probe_of_every_method_is_the_rival():
    rows = result_rows(METHODS)
    standing = standing_of(rows)
    assert [str(duel.other) for duel in standing.rivals] == [
        "raw spectra under SVM",
        "random weights under linear probe",
    ]
    assert len(standing.duels) == len(METHODS) - 1
    assert standing.sure
    # Two pretrainings of a kind need not be distinguishable for pretraining to lead.
    twin = [replace(r, pretraining="more", oa=r.oa + 0.01 * (-1) ** r.seed) for r in rows if r.method == "pretrained"]
    both = standing_of(rows + twin)
    assert both.sure
    assert "not distinguishable from pretrained" in standing_sentence(both)


def test_noise_is_not_called_a_lead():
    rng = np.random.default_rng(4)
    rows = result_rows({("pretrained", "linear"): 70.0, ("raw spectra", "SVM"): 70.0}, seeds=10)
    rows = [replace(row, oa=row.oa + 3 * rng.normal()) for row in rows]
    standing = standing_of(rows)
    assert not standing.sure
    assert "not distinguishable from" in standing_sentence(standing)
    few = standing_of([row for row in rows if row.seed < 2])
    assert not few.sure
    assert "on too few seeds for an interval" in standing_sentence(few)


def test_only_shared_splits_count():
    rows = result_rows({("pretrained", "linear"): 70.0, ("raw spectra", "SVM"): 60.0})
    # Raw spectra were also measured where it is easy, and where nothing is drawn; neither may move the difference.
    easy = [replace(r, per_class=50, oa=99.0) for r in rows if r.probe == "SVM"]
    once = [replace(r, per_class="all", oa=99.0 if r.probe == "SVM" else 1.0)
            for r in rows if r.seed == 0 and r.per_class == 5]  # fmt: skip
    (duel,) = standing_of(rows + easy + once).duels
    gaps = [oa(rows, "pretrained", "linear", s) - oa(rows, "raw spectra", "SVM", s) for s in range(5)]
    assert duel.result.difference == pytest.approx(np.mean(gaps))
    # Without any shared split there is nothing to say.
    apart = [r for r in rows if (r.probe == "SVM") == (r.seed < 2)]
    assert standings(read_scores(apart)[0]) == []


def test_a_leader_that_saw_the_test_pixels_is_called_one():
    measured = {("pretrained", "linear"): 80.0, ("random weights", "linear"): 70.0}
    rows = result_rows(measured, pretraining_saw_pixels="yes")
    rows = [replace(r, pretraining_saw_pixels="yes" if r.method == "pretrained" else "no") for r in rows]
    text = standing_sentence(standing_of(rows))
    assert "Its pretraining saw the test pixels, without labels; the nearest that did not is random weights" in text
