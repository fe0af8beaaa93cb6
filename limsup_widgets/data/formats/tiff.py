"""TIFF, by tifffile: 8 and 16 bit, grey, palette, RGB, RGBA, stacks."""

from __future__ import annotations

import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow

from limsup_widgets.data.formats import Raw, reading
from limsup_widgets.errors import LimsupError

# tifffile logs each flaw of a damaged file; the one line of the error is enough, and whoever
# configures logging still gets the rest.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

ERRORS: tuple[type[Exception], ...] = (
    tifffile.TiffFileError,
    OSError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    EOFError,
    MemoryError,
    RuntimeError,
    ZeroDivisionError,
    struct.error,
    zlib.error,
)
"""What a decoder raises on a damaged file."""
PLAIN = (
    tifffile.COMPRESSION.NONE,
    tifffile.COMPRESSION.LZW,
    tifffile.COMPRESSION.ADOBE_DEFLATE,
    tifffile.COMPRESSION.DEFLATE,
    tifffile.COMPRESSION.PACKBITS,
)
"""Compressions that know nothing of colours."""


def read(path: Path, *, codes: bool = False) -> Raw:
    """Read the first image series of a TIFF file.

    Parameters
    ----------
    path
        A TIFF file. Its first series may be (H, W), (H, W, C) or a stack (D, H, W).
    codes
        Return the stored numbers, without palette colours or inversion: for label images.

    Raises
    ------
    LimsupError
        For a file that is no TIFF, is cut short, or has more axes than three.
    """
    with reading(path, "TIFF", *ERRORS), tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        check_complete(path, tiff, series)
        notes = ("first of several images in the file",) * (len(tiff.series) > 1)
        array, axes = ordered(path, series.asarray(), series.axes)
        if codes:
            return Raw(array, axes, notes=notes)
        array, axes, changes = photometric(array, axes, series.keyframe)
    return Raw(array, axes, notes=(*notes, *changes))


def check_complete(path: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Refuse a file whose pixels would end behind its last byte: they would be read as zero."""
    size = path.stat().st_size
    ends = [0 if series.dataoffset is None else series.dataoffset + series.nbytes]
    page: Any
    for page in series.pages:
        if page is not None:
            ends += [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)]
    ends.append(_last_page(tiff, size))
    if max(ends) > size:
        raise LimsupError(
            str(path),
            got=f"{size} bytes, pixels up to byte {max(ends)}",
            expected="a complete TIFF file",
            do="copy or download it again",
        )


def _last_page(tiff: tifffile.TiffFile, size: int) -> int:
    """Offset of the last page, followed from page to page as far as the file goes.

    A stack that is cut short loses its last pages without another trace: the first ones read well.
    """
    layout: Any = tiff.tiff
    stream = tiff.filehandle

    def number(position: int, form: str, length: int) -> int:
        stream.seek(position)
        return int(struct.unpack(form, stream.read(length))[0])

    place, seen = layout.offsetsize, [0]
    while (offset := number(place, layout.offsetformat, layout.offsetsize)) not in seen:
        seen.append(offset)
        if offset + layout.tagnosize > size:
            return offset + layout.tagnosize
        tags = number(offset, layout.tagnoformat, layout.tagnosize)
        place = offset + layout.tagnosize + tags * layout.tagsize
        if place + layout.offsetsize > size:
            return place + layout.offsetsize
    return max(seen)


def ordered(path: Path, array: NDArray, axes: str) -> tuple[NDArray, Any]:
    """Bring the axes of tifffile to YX, YXC or ZYX."""
    keep = [i for i, size in enumerate(array.shape) if size > 1 or axes[i] in "YX"]
    array, axes = array.reshape([array.shape[i] for i in keep]), "".join(axes[i] for i in keep)
    if axes == "YX":
        return array, "YX"
    if axes in ("YXS", "YXC"):
        return array, "YXC"
    if axes in ("SYX", "CYX"):
        return np.moveaxis(array, 0, -1), "YXC"
    if len(axes) == 3 and axes.endswith("YX"):
        return array, "ZYX"
    raise LimsupError(
        str(path),
        got=f"axes {axes} of shape {array.shape}",
        expected="one image, one colour image or one stack of grey planes",
        do="save the part that is meant as a file of its own",
    )


def _colour_model(page: Any) -> str:
    """Pillow's name of a model other than RGB in which the decoder leaves the pixels, else empty.

    The decoders of JPEG and its kin make RGB of YCbCr themselves.
    """
    if page.photometric == tifffile.PHOTOMETRIC.SEPARATED and page.samplesperpixel == 4:
        return "CMYK"
    plain = page.photometric == tifffile.PHOTOMETRIC.YCBCR and page.compression in PLAIN
    return "YCbCr" if plain else ""


def photometric(array: NDArray, axes: Any, page: Any) -> tuple[NDArray, Any, tuple[str, ...]]:
    """Pixels as they are meant: palette colours, white as the largest value, no alpha channel."""
    meaning = tifffile.PHOTOMETRIC(page.photometric)
    if meaning == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None and axes == "YX":
        colours = (page.colormap.T[array] >> 8).astype(np.uint8)
        return colours, "YXC", ("palette image read as its colours",)
    if meaning == tifffile.PHOTOMETRIC.MINISWHITE and array.dtype.kind in "bu":
        whitest = True if array.dtype.kind == "b" else np.iinfo(array.dtype).max
        return whitest ^ array, axes, ("stored with white as 0: inverted",)
    if axes == "YXC" and array.dtype == np.uint8 and (mode := _colour_model(page)):
        size = array.shape[1], array.shape[0]
        picture = Pillow.frombytes(mode, size, array.tobytes()).convert("RGB")
        return np.array(picture), axes, (f"{mode} colours converted to RGB",)
    if axes == "YXC" and page.extrasamples and meaning != tifffile.PHOTOMETRIC.SEPARATED:
        kept = array.shape[-1] - len(page.extrasamples)
        if kept in (1, 3) and page.samplesperpixel == array.shape[-1]:
            colour = array[..., :kept] if kept == 3 else array[..., 0]
            return colour, "YXC" if kept == 3 else "YX", ("alpha channel dropped",)
    return array, axes, ()
