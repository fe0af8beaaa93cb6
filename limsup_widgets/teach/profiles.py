"""Two sizes of every experiment, quick and full, and the seeds of its units."""

from __future__ import annotations

import os
from typing import TypeVar

from limsup_widgets.errors import LimsupError

PROFILES = ("quick", "full")
SHIFT = "LIMSUP_SEED_SHIFT"
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


def seed_shift() -> int:
    """The integer in the environment variable ``LIMSUP_SEED_SHIFT``, 0 without it.

    Raises
    ------
    LimsupError
        If the variable holds anything but an integer from 0 on.
    """
    text = os.environ.get(SHIFT, "0")
    if not text.strip().isdecimal():
        raise LimsupError(SHIFT, got=repr(text), expected="an integer from 0 on", do="unset it")
    return int(text)


def seeds(n: int, first: int = 0) -> list[int]:
    """Seeds of the ``n`` units of an experiment; `limsup chapter check` shifts them.

    A claim that holds under these seeds only is no result. The command therefore runs the chapter
    once more with all seeds shifted and compares the verdicts.

    Parameters
    ----------
    n
        How many units.
    first
        Seed of the first unit; two experiments of one page that must not share draws differ in it.

    Raises
    ------
    LimsupError
        If ``LIMSUP_SEED_SHIFT`` is no integer from 0 on.

    Examples
    --------
    >>> seeds(3, first=10)
    [10, 11, 12]
    """
    start = first + seed_shift()
    return list(range(start, start + n))
