import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.claims import CLAIMS_FILE, claim, claim_true, read_lines, recorded

FINITE = st.floats(-10, 10, allow_nan=False)


def test_values_of_the_interval():
    differences = np.array([0.1, 0.3, 0.2, 0.4, 0.25, 0.15])
    verdict = claim("helps", differences + 1, np.ones(6))
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (verdict.low, verdict.high) == pytest.approx(tuple(expected))


@pytest.mark.parametrize(
    ("margins", "words"),
    [
        ({"at_least": 0.9}, "holds"),
        ({"at_least": 1.1}, "does not hold"),
        ({"at_least": 1.0}, "undecided"),
        ({"at_most": 1.1}, "holds"),
        ({"at_most": 0.9}, "does not hold"),
        ({"within": 1.1}, "holds"),
        ({"within": 0.5}, "does not hold"),
        ({"within": 1.0}, "undecided"),
    ],
)
def test_values_of_the_words(margins, words, capsys):
    verdict = claim("near one", [0.98, 0.99, 1.0, 1.01, 1.02], **margins)
    assert verdict.words == words
    assert capsys.readouterr().out.startswith(f"{words}: near one (live; paired over 5 seeds")


@given(st.lists(FINITE, min_size=5, max_size=30), st.floats(-5, 5))
def test_values_mirror_with_the_sign(differences, margin):
    up = claim("x", differences, at_least=margin)
    down = claim("x", [-d for d in differences], at_most=-margin)
    assert down.words == up.words


def test_values_few_units_are_undecided_with_the_reason(capsys):
    assert claim("sure", [5, 5.1, 5.2, 5.3]).words == "undecided"
    assert "paired over 4 seeds, fewer than 5" in capsys.readouterr().out


def test_values_clusters_are_pooled_first(capsys):
    images = np.repeat(np.arange(6), 10)
    gains = np.repeat([0.5, -0.4, 0.6, -0.3, 0.5, -0.2], 10)
    naive = claim("helps", gains, unit="image")
    honest = claim("helps", gains, unit="image", clusters=list(images), cluster="patient")
    assert naive.words == "holds"
    assert honest.words == "undecided"
    assert honest.differences == pytest.approx((0.5, -0.4, 0.6, -0.3, 0.5, -0.2))
    assert "6 patients, each the mean of its images" in capsys.readouterr().out


def test_values_stored_is_said(capsys):
    claim("helps", [1, 2, 3, 2, 1], stored="ls02-arms")
    assert "(stored: results/ls02-arms.json; paired" in capsys.readouterr().out
    claim_true("agrees", True, stored="ls02-arms")
    assert "(stored: results/ls02-arms.json; deterministic)" in capsys.readouterr().out


@pytest.mark.parametrize("values", [[1, 2, 3, 2, 1], [-1, -2, -3, -2, -1], [1, 2]])
def test_values_unsteady_is_undecided_whatever_the_seeds_say(values, capsys):
    assert claim("helps", values, steady=False).words == "undecided"
    printed = f"undecided: helps (live; paired over {len(values)} seeds, flips under other seeds)\n"
    assert capsys.readouterr().out == printed


def test_values_recorded():
    with recorded() as outer:
        claim_true("one", True)
        with recorded() as inner:
            claim("two", [1, 2, 3, 2, 1])
    claim_true("three", True)
    assert [v.name for v in outer] == ["one", "two"]
    assert [v.name for v in inner] == ["two"]


def test_roundtrip_of_a_line(capsys):
    verdicts = [
        claim_true("odd: (name) (live)", False, "seen (twice)", stored="ls02"),
        claim("pooled", range(6), unit="image", clusters=[*range(6)], cluster="patient"),
    ]
    printed = "holds: no verdict\n" + capsys.readouterr().out
    assert read_lines(printed) == [(v.words, v.name, v.basis) for v in verdicts]


def test_roundtrip_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv(CLAIMS_FILE, str(tmp_path / "claims"))
    paired, single = claim("helps", [1, 2, 3, 2, 1], unit="patient"), claim("one", [1.0])
    claim_true("agrees", True)
    lines = (tmp_path / "claims").read_text("utf-8").splitlines()
    first, second, third = map(json.loads, lines)
    assert (first["mean"], first["low"], first["high"]) == (paired.mean, paired.low, paired.high)
    assert (first["units"], first["unit"], first["words"]) == (5, "patient", "holds")
    assert (second["mean"], second["low"], second["units"]) == (single.mean, None, 1)
    assert (third["mean"], third["low"], third["units"], third["unit"]) == (None,) * 4


def test_values_deterministic(capsys):
    assert claim_true("bounded", np.bool_(True), "100 pixels").words == "holds"
    assert claim_true("bounded", False).words == "does not hold"
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "holds: bounded (live; deterministic; 100 pixels)",
        "does not hold: bounded (live; deterministic)",
    ]


def test_values_line_has_no_measured_number():
    """nbval compares the line: another seed must not change it."""
    lines = {
        claim("helps", np.random.default_rng(seed).normal(1, 0.1, 8)).line for seed in range(4)
    }
    assert len(lines) == 1


def test_shapes_of_the_picture():
    shown = []
    verdict = claim("helps", [0.1, 0.3, 0.2, 0.4, 0.25])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("IPython.display.display", lambda *a, **k: shown.append((a, k)))
        verdict._ipython_display_()
        claim_true("no picture", True)._ipython_display_()
    ((data,), options), *rest = shown
    assert not rest
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == "holds"
    assert options["metadata"]["image/png"]["alt"] == verdict.numbers
    assert "+0.25" in verdict.numbers


@pytest.mark.parametrize(
    "arguments",
    [
        {"a": [1, 2], "b": [1, 2, 3]},
        {"a": []},
        {"a": [[1, 2], [3, 4]]},
        {"a": [1, np.nan, 2]},
        {"a": [1, 2, 3], "clusters": [0, 1]},
        {"a": [1, 2, 3], "at_least": 1, "within": 2},
    ],
)
def test_errors(arguments):
    with pytest.raises(LimsupError):
        claim("broken", **arguments)


def test_errors_of_a_condition_that_is_no_truth_value():
    with pytest.raises(LimsupError, match="expected True or False"):
        claim_true("all equal", np.array([True, False]))
