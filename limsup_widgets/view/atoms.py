"""What a stroke in napari changed, read from the atoms of its paint event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _atom_pixels(atom: Any, index: NDArray[np.int64]) -> tuple[NDArray[np.int64], Any]:
    """Flat indices (n,) an atom touched and the code or codes (n,) it wrote."""
    if hasattr(atom, "slice_key"):
        box = index[atom.slice_key]
        touched = box.ravel() if atom.mask is None else box[atom.mask]
        return touched, atom.new_value
    # The older triple (indices, old, new) still comes from `Labels.data_setitem`.
    indices, _, new = atom
    touched = np.asarray(index[indices]).ravel()
    return touched, np.broadcast_to(np.asarray(new), touched.shape)


def painted(atoms: Iterable[Any], shape: tuple[int, ...]) -> list[tuple[NDArray[np.int64], int]]:
    """Pixels that one gesture wrote, by the code they ended with.

    Parameters
    ----------
    atoms
        `event.value` of a Labels layer's paint event: the dabs of a stroke, in order. They
        overlap, so a later one wins.
    shape
        Of the label image.

    Returns
    -------
    list of (indices (n,), code)
        Flat C-order indices, ascending, each pixel once; one entry per code, so one for
        everything a brush or an eraser draws.
    """
    index = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    written = np.full(index.size, -1, dtype=np.int64)
    for atom in atoms:
        touched, codes = _atom_pixels(atom, index)
        written[touched] = codes
    return [(np.flatnonzero(written == c), int(c)) for c in np.unique(written[written >= 0])]
