"""What makes a chapter: claims, exercises, profiles, the chapter loader."""

from limsup_widgets.teach.claims import claim, claim_true
from limsup_widgets.teach.exercises import Misconception, check, exercise
from limsup_widgets.teach.profiles import profile, seeds
from limsup_widgets.teach.results import assert_row, stored_result

__all__ = [
    "Misconception",
    "assert_row",
    "check",
    "claim",
    "claim_true",
    "exercise",
    "profile",
    "seeds",
    "stored_result",
]
