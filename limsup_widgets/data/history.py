"""Label images of a case and the strokes that made them: the one undo stack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.data.strokes import Stroke


class History:
    """Labels of several images, with undo and redo across all of them.

    The live session and the replay of a journal both go through here, so that they cannot differ.

    Parameters
    ----------
    shapes
        ``(H, W)`` of each image.

    Attributes
    ----------
    labels
        Codes 0…K, one uint8 array ``(H, W)`` per image.
    done, undone
        Strokes that can be undone and redone, the next one last.

    Examples
    --------
    >>> history = History([(1, 3)])
    >>> history.push(Stroke.from_pixels((1, 3), [1], old=0, new=2))
    >>> history.undo().pixels().tolist(), history.labels[0].tolist()
    ([1], [[0, 0, 0]])
    """

    def __init__(self, shapes: Sequence[tuple[int, int]]) -> None:
        self.labels: list[NDArray[np.uint8]] = [np.zeros(shape, np.uint8) for shape in shapes]
        self.done: list[Stroke] = []
        self.undone: list[Stroke] = []

    def push(self, stroke: Stroke) -> None:
        """Apply a new stroke; what had been undone before it can no longer be redone."""
        stroke.apply(self.labels[stroke.image])
        self.done.append(stroke)
        self.undone.clear()

    def undo(self) -> Stroke | None:
        """Take the last stroke back and return it; None if there is none."""
        if not self.done:
            return None
        stroke = self.done.pop()
        stroke.revert(self.labels[stroke.image])
        self.undone.append(stroke)
        return stroke

    def redo(self) -> Stroke | None:
        """Apply the stroke that was undone last and return it; None if there is none."""
        if not self.undone:
            return None
        stroke = self.undone.pop()
        stroke.apply(self.labels[stroke.image])
        self.done.append(stroke)
        return stroke

    def clear(self) -> None:
        """Empty labels and both stacks."""
        # New ones, as writing zeros into a large image would make memory of all of it.
        self.labels = [np.zeros(labels.shape, np.uint8) for labels in self.labels]
        self.done.clear()
        self.undone.clear()
