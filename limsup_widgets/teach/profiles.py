"""Two sizes of every experiment: quick on a laptop, full on a GPU with public data."""

from __future__ import annotations

import os
from typing import TypeVar

from limsup_widgets.errors import LimsupError

PROFILES = ("quick", "full")
T = TypeVar("T")


def profile_name() -> str:
    """Name of the profile in force, from the environment variable ``LIMSUP_PROFILE``.

    Raises
    ------
    LimsupError
        If the variable holds anything but ``quick`` or ``full``.
    """
    name = os.environ.get("LIMSUP_PROFILE", "quick")
    if name not in PROFILES:
        raise LimsupError(
            "LIMSUP_PROFILE", got=repr(name), expected="quick or full", do="unset it for quick"
        )
    return name


def profile(*, quick: T, full: T) -> T:
    """Value for the profile in force; the cell stays the same, the size changes.

    Examples
    --------
    >>> profile(quick=60, full=4000)
    60
    """
    return quick if profile_name() == "quick" else full
