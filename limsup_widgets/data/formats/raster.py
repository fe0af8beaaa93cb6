"""PNG and JPEG, by Pillow."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

from limsup_widgets.data.formats import Raw, reading
from limsup_widgets.errors import LimsupError

DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Pillow.DecompressionBombError,
)

_PLAIN = {"1": "1", "L": "L", "RGB": "RGB", "I;16": "I;16", "I": "I", "F": "F"}
_DROPS_ALPHA = {"RGBA": "RGB", "LA": "L", "RGBa": "RGB", "La": "L"}


def read(path: Path, *, codes: bool = False) -> Raw:
    """Read one picture, (H, W) or (H, W, 3).

    Parameters
    ----------
    path
        A PNG or JPEG file.
    codes
        Return the stored numbers of a palette image instead of its colours, and leave the
        rotation tag alone: for label images.

    Raises
    ------
    LimsupError
        For a file that is no picture or is cut short.
    """
    kind = "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG"
    with reading(path, kind, *DECODER_ERRORS), Pillow.open(path) as picture:
        if picture.format not in ("PNG", "JPEG"):
            raise LimsupError(
                str(path),
                got=f"a {picture.format} file",
                expected=kind,
                do="give it its true extension",
            )
        picture.load()
        deep = _is_deep_colour(path) and picture.mode in ("RGB", "RGBA", "LA")
        array, notes = decode(picture, codes=codes)
    if deep:
        notes = (*notes, "16-bit colour PNG: the upper 8 bits of each channel were read")
    return Raw(array, "YX" if array.ndim == 2 else "YXC", notes=notes)


def decode(picture: Pillow.Image, *, codes: bool = False) -> tuple[NDArray, tuple[str, ...]]:
    """Pixels of an open picture and one line per thing that was changed."""
    notes: list[str] = []
    if not codes:
        upright = ImageOps.exif_transpose(picture)
        if upright.size != picture.size or picture.getexif().get(274, 1) != 1:
            notes.append("turned upright as its EXIF orientation says")
        picture = upright
    mode = picture.mode
    if codes and mode == "P":
        return np.array(picture), ()
    if mode in _PLAIN:
        return np.array(picture), tuple(notes)
    if mode == "P":
        target = "RGB"
        notes.append("palette image read as its colours")
    elif mode in _DROPS_ALPHA:
        target = _DROPS_ALPHA[mode]
        notes.append("alpha channel dropped")
    else:
        target = "RGB"
        notes.append(f"{mode} colours converted to RGB")
    return np.array(_without_alpha(picture, target)), tuple(notes)


def _without_alpha(picture: Pillow.Image, target: str) -> Pillow.Image:
    # convert() alone would lose the colours of palette entries marked transparent.
    if picture.mode == "P":
        return picture.convert("RGBA").convert(target)
    return picture.convert(target)


def _is_deep_colour(path: Path) -> bool:
    """Whether the PNG header says 16 bits per channel, which Pillow reduces in silence."""
    with path.open("rb") as stream:
        head = stream.read(26)
    return head.startswith(b"\x89PNG") and len(head) == 26 and head[24] == 16
