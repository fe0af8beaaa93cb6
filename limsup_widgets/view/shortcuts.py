"""The keys: one table for the napari view, the panel's canvas and the list of help."""

from __future__ import annotations

from dataclasses import dataclass

MAX_DIGIT = 9


@dataclass(frozen=True)
class Shortcut:
    """One key.

    Attributes
    ----------
    key
        As napari spells it (`"Control-Z"`).
    action
        Name of the method of a view that it calls.
    text
        What it does, for people.
    """

    key: str
    action: str
    text: str

    @property
    def label(self) -> str:
        """The key as it stands on a keyboard.

        Examples
        --------
        >>> Shortcut("Control-Shift-Z", "redo", "redo").label
        'Ctrl+Shift+Z'
        """
        return self.key.replace("Control", "Ctrl").replace("Escape", "Esc").replace("-", "+")


SHORTCUTS = (
    Shortcut("E", "erase", "eraser"),
    Shortcut("[", "thinner", "thinner brush"),
    Shortcut("]", "thicker", "thicker brush"),
    Shortcut("Control-Z", "undo", "undo the last stroke"),
    Shortcut("Control-Shift-Z", "redo", "redo"),
    Shortcut("T", "tune", "tune on the strokes"),
    Shortcut("F", "tune_afresh", "tune afresh: from the first network, on all strokes"),
    Shortcut("L", "toggle_live", "live: answer each stroke at once, tune behind it"),
    Shortcut("Escape", "cancel", "cancel tuning"),
    Shortcut("B", "toggle_previous", "before / after: previous model and back"),
    Shortcut("D", "toggle_changed", "show only what differs from the previous model"),
    Shortcut("U", "toggle_uncertainty", "show or hide uncertainty"),
    Shortcut("O", "toggle_prediction", "show or hide the prediction"),
    Shortcut("N", "next_region", "next place worth a stroke"),
    Shortcut("A", "accept", "accept and write files"),
    Shortcut("R", "reset", "back to the start (press twice)"),
)


def help_rows(classes: int) -> list[tuple[str, str]]:
    """Rows (key, what it does) for the list of help.

    Examples
    --------
    >>> help_rows(4)[0]
    ('1 … 4', 'choose the class to paint')
    """
    digits = "1" if classes == 1 else f"1 … {min(classes, MAX_DIGIT)}"
    rows = [(digits, "choose the class to paint")]
    return rows + [(shortcut.label, shortcut.text) for shortcut in SHORTCUTS]
