"""A stroke: the pixels one gesture changed, run-length coded, with old and new class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limsup_widgets.errors import LimsupError

Run = tuple[int, int, int, int]


@dataclass(frozen=True)
class Stroke:
    """Changed pixels of one label image, so that any view replays them to the same pixels.

    Parameters
    ----------
    image
        Index of the image in its case.
    shape
        ``(H, W)`` of the label image.
    runs
        ``(start, length, old, new)`` per run: flat C-order pixel index, pixels, codes 0…K.
    seconds
        Annotator's time spent, as measured or as a simulated annotator's model states it.
    author
        Who drew it; free text.

    Examples
    --------
    >>> labels = np.zeros((2, 4), np.uint8)
    >>> stroke = Stroke.from_pixels((2, 4), [1, 2, 3], old=0, new=2)
    >>> stroke.runs
    ((1, 3, 0, 2),)
    >>> stroke.apply(labels)
    >>> labels.tolist()
    [[0, 2, 2, 2], [0, 0, 0, 0]]
    """

    image: int
    shape: tuple[int, int]
    runs: tuple[Run, ...]
    seconds: float = 0.0
    author: str = ""

    @classmethod
    def from_pixels(
        cls,
        shape: tuple[int, int],
        flat_indices: ArrayLike,
        old: ArrayLike,
        new: ArrayLike,
        image: int = 0,
        seconds: float = 0.0,
        author: str = "",
    ) -> Stroke:
        """Code the pixels ``flat_indices`` (n,) as runs; ``old`` and ``new`` are scalars or (n,).

        Pixels met twice count once (the first mention). Raises :class:`LimsupError` for an index
        outside ``shape``.
        """
        size = int(shape[0]) * int(shape[1])
        index, first = np.unique(np.asarray(flat_indices, dtype=np.int64), return_index=True)
        if index.size and (index[0] < 0 or index[-1] >= size):
            bad = int(index[0] if index[0] < 0 else index[-1])
            raise LimsupError("pixel index of a stroke", got=bad, expected=f"0…{size - 1}")
        count = np.size(flat_indices)
        before = np.broadcast_to(np.asarray(old, dtype=np.uint8), count)[first]
        after = np.broadcast_to(np.asarray(new, dtype=np.uint8), count)[first]
        runs = _encode(index, before, after)
        return cls(int(image), (int(shape[0]), int(shape[1])), runs, float(seconds), author)

    def apply(self, labels: NDArray[np.uint8]) -> None:
        """Write the new codes into ``labels`` (H, W), in place."""
        self._write(labels, after=True)

    def revert(self, labels: NDArray[np.uint8]) -> None:
        """Write the old codes into ``labels`` (H, W), in place: the inverse of :meth:`apply`."""
        self._write(labels, after=False)

    def pixels(self) -> NDArray[np.int64]:
        """Flat C-order indices (n,) of the changed pixels, ascending."""
        spans = [np.arange(start, start + length) for start, length, _, _ in self.runs]
        return np.concatenate(spans) if spans else np.empty(0, np.int64)

    def as_event(self) -> dict[str, Any]:
        """The stroke as plain JSON values; :meth:`from_event` reads them back."""
        return {
            "type": "stroke",
            "image": self.image,
            "shape": list(self.shape),
            "runs": [list(run) for run in self.runs],
            "seconds": self.seconds,
            "author": self.author,
        }

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Stroke:
        """Rebuild a stroke from :meth:`as_event`; raises :class:`LimsupError` if a key lacks."""
        missing = sorted({"image", "shape", "runs"} - set(event))
        if missing:
            raise LimsupError("stroke event", got=f"no {', '.join(missing)}", expected="all keys")
        height, width = (int(side) for side in event["shape"])
        runs = tuple((int(a), int(n), int(old), int(new)) for a, n, old, new in event["runs"])
        seconds, author = float(event.get("seconds", 0.0)), str(event.get("author", ""))
        return cls(int(event["image"]), (height, width), runs, seconds, author)

    def _write(self, labels: NDArray[np.uint8], after: bool) -> None:
        if labels.shape != self.shape:
            raise LimsupError("label image", got=labels.shape, expected=self.shape)
        flat = labels.reshape(-1) if labels.flags.c_contiguous else labels.flat
        for start, length, old, new in self.runs:
            flat[start : start + length] = new if after else old


def _encode(
    index: NDArray[np.int64], old: NDArray[np.uint8], new: NDArray[np.uint8]
) -> tuple[Run, ...]:
    """Runs of ascending neighbours that share both codes."""
    if not index.size:
        return ()
    cut = (np.diff(index) != 1) | (np.diff(old) != 0) | (np.diff(new) != 0)
    starts = np.concatenate([[0], np.flatnonzero(cut) + 1])
    lengths = np.diff(np.concatenate([starts, [index.size]]))
    columns = (index[starts], lengths, old[starts], new[starts])
    return tuple(zip(*(column.tolist() for column in columns), strict=True))
