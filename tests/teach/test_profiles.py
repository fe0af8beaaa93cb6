import pytest

from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.profiles import SHIFT, profile, profile_name, seeds


def test_values(monkeypatch):
    monkeypatch.delenv("LIMSUP_PROFILE", raising=False)
    assert profile(quick=60, full=4000) == 60
    monkeypatch.setenv("LIMSUP_PROFILE", "full")
    assert profile(quick=60, full=4000) == 4000


def test_errors(monkeypatch):
    monkeypatch.setenv("LIMSUP_PROFILE", "fast")
    with pytest.raises(LimsupError, match="'fast', expected quick or full"):
        profile_name()


def test_values_seeds(monkeypatch):
    monkeypatch.delenv(SHIFT, raising=False)
    assert seeds(3) == [0, 1, 2]
    assert seeds(2, first=10) == [10, 11]
    assert seeds(0) == []
    monkeypatch.setenv(SHIFT, "1000")
    assert seeds(2, first=10) == [1010, 1011]


@pytest.mark.parametrize("shift", ["", "some", "1.5", "-1"])
def test_errors_of_the_shift(monkeypatch, shift):
    monkeypatch.setenv(SHIFT, shift)
    with pytest.raises(LimsupError, match=r"LIMSUP_SEED_SHIFT: got '.*', expected an integer"):
        seeds(3)
