from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limsup_widgets.session.compare import compare_codes
from limsup_widgets.view import status
from limsup_widgets.view.shortcuts import MAX_DIGIT, SHORTCUTS, help_rows


@dataclass
class Place:
    y: int = 7
    x: int = 9
    score: float = 1.0


def test_values() -> None:
    assert status.saved_text(False, "here") == "● saving …"
    assert status.dice_text(None, ["a"]) == ""
    assert status.dice_text(np.array([np.nan]), ["a"]) == ""
    assert status.region_text(1, Place(), 4.0) == "1.  row 7, column 9 · 25 %"
    assert status.region_text(1, Place(score=0.0), 0.0).endswith("0 %")


def test_comparison_with_and_without_truth() -> None:
    before, after = np.array([[1, 1, 2]]), np.array([[1, 2, 2]])
    plain = compare_codes(before, after, 2)
    assert status.comparison_head(plain) == ["class", "gained", "lost"]
    assert status.comparison_rows(plain, ["a", "b"]) == [["a", "+0", "−1"], ["b", "+1", "−0"]]
    known = compare_codes(before, after, 2, np.array([[1, 2, 2]]))
    assert status.comparison_rows(known, ["a", "b"])[0][-1] == "0.67 → 1.00"
    assert status.comparison_head(known)[-1] == "Dice"


def test_every_key_is_listed_once() -> None:
    keys = [shortcut.key for shortcut in SHORTCUTS]
    assert len(set(keys)) == len(keys)
    assert not {str(digit) for digit in range(1, MAX_DIGIT + 1)} & set(keys)
    assert len(help_rows(3)) == len(keys) + 1
