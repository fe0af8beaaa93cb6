"""Which method when: verdicts from rows whose answer is known."""

import pytest

from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.overview import compare, situations, tally

SHIFTS = {"good": 0.05, "bad": -0.05, "same": 0.0, "wild": 0.0}
JITTER = (-0.002, -0.001, 0.0, 0.001, 0.002)


def study(seeds=range(5)):
    rows = []
    for method, shift in {"plain": 0.0, **SHIFTS}.items():
        for kind in ("point", "scribble"):
            for seed in seeds:
                spread = 20 if method == "wild" else method != "plain"
                dice = 0.7 + 0.01 * seed + shift + spread * JITTER[seed]
                rows.append(
                    {"method": method, "kind": kind, "minutes": 2, "noise": 0.0, "seed": seed}
                    | {"unlabelled": 8, "dice": dice}
                )
    return rows


HERE = {"kind": "point", "minutes": 2, "noise": 0.0}


def test_values():
    words = {m: compare(study(), m, "plain", **HERE).words for m in SHIFTS}
    assert words == {"good": "better", "bad": "worse", "same": "equal", "wild": "unclear"}
    good = compare(study(), "good", "plain", **HERE)
    assert good.difference == pytest.approx(0.05) and good.low < 0.05 < good.high
    assert good.dice == pytest.approx(0.77) and good.short == "▲ +5.0"


def test_values_pairs_by_seed_not_by_place():
    rows = study()
    shuffled = compare(rows[::-1], "good", "plain", **HERE)
    assert shuffled == compare(rows, "good", "plain", **HERE)


def test_values_few_pairs_decide_nothing():
    assert compare(study(range(4)), "good", "plain", **HERE).words == "unclear"


def test_values_the_largest_pool_counts():
    rows = study()
    alone = [row | {"unlabelled": 0, "dice": 0.1} for row in rows if row["method"] == "good"]
    assert compare(rows + alone, "good", "plain", **HERE).words == "better"


def test_values_situations_and_tally():
    rows = study()
    assert situations(rows, "good") == [HERE, HERE | {"kind": "scribble"}]
    found = [compare(rows, m, "plain", **HERE) for m in ("good", "bad", "same")]
    assert tally(found) == "better in 1, worse in 1, equal in 1 of 3"


def test_errors():
    assert compare(study(), "unheard of", "plain", **HERE) is None
    with pytest.raises(LimsupError, match="control 'nobody'"):
        compare(study(), "good", "nobody", **HERE)
