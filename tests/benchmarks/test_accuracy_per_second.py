"""The rules of the comparison: who gets which stroke, what a number's interval is, what is said."""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import accuracy_per_second as bench
import numpy as np
import pytest
import torch

from limsup_widgets.data.annotators import scribble_labels

SCRIPT = Path(bench.__file__)


def toy():
    truth = np.ones((60, 80), np.uint8)
    truth[10:30, 10:30], truth[35:55, 40:75] = 2, 3
    noise = np.random.default_rng(0).integers(-15, 15, (60, 80, 3))
    array = (70 * truth[..., None] + noise).astype(np.uint8)
    x = torch.from_numpy(array.astype(np.float32) / 70 - 2).movedim(-1, 0)
    return bench.Case("toy", array, truth, 3, x.contiguous(), True)


def test_values_strokes_answer_the_largest_mistake():
    case = toy()
    found = case.truth.copy()
    found[40:50, 45:70], found[15:20, 12:16], found[0, 0] = 1, 1, 2
    labels = scribble_labels(bench.strokes(case, found, 0), case.truth.shape)
    at = labels > 0
    assert set(np.unique(labels)) == {0, 2, 3}, "one wrong pixel of class 1 is left alone"
    assert (labels[at] == case.truth[at]).all() and (found[at] != case.truth[at]).mean() > 0.8
    assert bench.strokes(case, case.truth, 0) == []


def test_values_first_strokes_are_the_same_for_all():
    case = toy()
    one, two = (bench.strokes(case, np.zeros_like(case.truth), 0) for _ in range(2))
    assert one == two and {stroke.runs[0][3] for stroke in one} == {1, 2, 3}


def test_values_loop():
    """Seconds add up, and a method sees all strokes so far."""
    case, seen = toy(), []

    def answer(labels):
        seen.append(labels.copy())
        return np.ones_like(case.truth)

    line = bench.loop(case, "toy", answer, 3)
    assert len(line.dice) == 3 and line.annotator == sorted(line.annotator)
    assert all(((b == a) | (a == 0)).mean() > 0.99 for a, b in pairwise(seen))
    assert (seen[2] > 0).sum() > (seen[0] > 0).sum() and line.annotator[2] > line.annotator[0] > 0


@pytest.mark.parametrize("name", list(bench.WAYS))
def test_values_methods_solve_an_easy_case(name):
    case = replace(toy(), known=False)
    line = bench.cheap(case, 2, (name,))[0]
    assert line.dice[-1] > 0.85, line


def test_values_interval():
    assert bench.interval([0.5]) == (0.5, 0.5, 0.5)
    mean, low, high = bench.interval([0.7, 0.8, 0.9])
    assert (mean, high - mean, mean - low) == pytest.approx((0.8, 0.2484, 0.2484), abs=1e-4)


def lines(forest, network):
    made = {bench.FOREST: forest, bench.QUICK: 0.8, bench.FIVE: network}
    return [bench.Line("IHC", m, [0.1, d], [1, 2], [3, 4]) for m, d in made.items()]


def test_values_notes_say_why_the_forest_wins():
    told = bench.notes(lines(0.9, 0.7))[-1]
    assert "rule about colours" in told and "limsup, quick (0.80) and limsup, 5 s (0.70)" in told
    assert "beats limsup, 5 s (0.70)." in bench.notes(lines(0.75, 0.7))[-1]
    assert not any("rule about colours" in note for note in bench.notes(lines(0.6, 0.7)))


def test_values_series():
    found = list(bench.series(lines(0.9, 0.7), "machine", ihc=True))
    assert [s["name"] for s in found] == [bench.FOREST, bench.QUICK, bench.FIVE]
    assert found[0] == {"name": bench.FOREST, "x": [1.0, 2.0], "y": [0.1, 0.9]}


@pytest.mark.slow
def test_values_end_to_end():
    before = {p: p.stat().st_mtime_ns for p in (SCRIPT.parent / "results").glob("*")}
    command = [sys.executable, str(SCRIPT), "--quick", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "limsup, 60 s" in done.stdout and "random walker" in done.stdout
    assert {p: p.stat().st_mtime_ns for p in (SCRIPT.parent / "results").glob("*")} == before
