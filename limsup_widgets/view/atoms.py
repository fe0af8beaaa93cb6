"""What a stroke in napari changed, read from the atoms of its paint event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _atom_pixels(atom: Any, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray]:
    """Flat indices (n,) an atom touched and the codes (n,) it wrote."""
    if hasattr(atom, "slice_key"):
        mask = np.ones(atom.old_values.shape, bool) if atom.mask is None else atom.mask
        corner = [part.start or 0 for part in atom.slice_key]
        places = tuple(axis + start for axis, start in zip(np.nonzero(mask), corner, strict=True))
        new = atom.new_value
    else:
        # The older triple (indices, old, new) still comes from `Labels.data_setitem`.
        indices, _, new = atom
        places = np.broadcast_arrays(*indices)
    touched = np.ravel_multi_index(tuple(axis.ravel() for axis in places), shape)
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
        everything a brush or an eraser draws. The cost grows with the stroke, not the image.
    """
    written = [_atom_pixels(atom, shape) for atom in atoms]
    if not written:
        return []
    # Reversed, the first mention of a pixel is the last one written.
    pixels = np.concatenate([touched for touched, _ in written])[::-1]
    codes = np.concatenate([new for _, new in written])[::-1]
    pixels, last = np.unique(pixels, return_index=True)
    codes = codes[last]
    return [(pixels[codes == code], int(code)) for code in np.unique(codes)]
