import pytest

from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.profiles import profile, profile_name


def test_values(monkeypatch):
    monkeypatch.delenv("LIMSUP_PROFILE", raising=False)
    assert profile(quick=60, full=4000) == 60
    monkeypatch.setenv("LIMSUP_PROFILE", "full")
    assert profile(quick=60, full=4000) == 4000


def test_errors(monkeypatch):
    monkeypatch.setenv("LIMSUP_PROFILE", "fast")
    with pytest.raises(LimsupError, match="'fast', expected quick or full"):
        profile_name()
