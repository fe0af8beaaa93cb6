"""Label images made elsewhere, read as scribbles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.data.formats import Raw, nifti, raster, tiff
from limsup_widgets.errors import LimsupError

_HOW = "save a PNG, TIFF or NIfTI image whose pixels are 0 (unlabelled) or a class number"


def read_labels(path: str | Path, classes: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read a label image: codes 0 (unlabelled) and 1…`classes`.

    Parameters
    ----------
    path
        PNG (palette images give their indices), TIFF or NIfTI.
    classes
        K, the number of classes.
    shape
        (H, W) or (D, H, W) of the image that the labels belong to.

    Returns
    -------
    ndarray of uint8
        Codes in the given shape.

    Raises
    ------
    LimsupError
        For a missing or damaged file, another shape, colours, or a value that is no code.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise LimsupError(str(path), got="no such file", expected="a label image", do=_HOW)
    raw = _read(path)
    if raw.axes == "YXC":
        raise LimsupError(
            str(path), got="a colour image", expected="one class number per pixel", do=_HOW
        )
    if raw.array.shape != tuple(shape):
        raise LimsupError(
            str(path),
            got=f"labels of shape {raw.array.shape}",
            expected=f"{tuple(shape)} as the image has",
            do="export the labels at the size of the image",
        )
    return as_codes(path, raw.array, classes)


def check_scribbles(labels: NDArray[np.uint8], classes: int, name: str = "scribbles") -> None:
    """Refuse labels that nothing can be learnt from.

    Parameters
    ----------
    labels
        Codes of any shape; several images may be stacked or flattened into one array.
    classes
        K, the number of classes.
    name
        What to name in the error, e.g. the file.

    Raises
    ------
    LimsupError
        For no labelled pixel, or labels of one class only.
    """
    present = [code for code in range(1, classes + 1) if np.any(labels == code)]
    if not present:
        raise LimsupError(
            name, got="no labelled pixel", expected="strokes of two classes", do="paint some"
        )
    if len(present) == 1:
        raise LimsupError(
            name,
            got=f"strokes of class {present[0]} only",
            expected="at least two classes",
            do="paint a stroke of another class",
        )


def _read(path: Path) -> Raw:
    name = path.name.lower()
    if name.endswith(".png"):
        return raster.read(path, codes=True)
    if name.endswith((".tif", ".tiff")):
        return tiff.read(path, codes=True)
    if name.endswith((".nii", ".nii.gz")):
        return nifti.read(path)
    if name.endswith((".jpg", ".jpeg")):
        raise LimsupError(
            str(path), got="JPEG, which blurs class numbers", expected="PNG, TIFF or NIfTI", do=_HOW
        )
    raise LimsupError(str(path), got="an unknown extension", expected="PNG, TIFF or NIfTI", do=_HOW)


def as_codes(path: Path, array: NDArray, classes: int) -> NDArray[np.uint8]:
    """``array`` as uint8 codes; an error naming the file unless all are whole numbers 0…K."""
    values = np.unique(array)
    wrong = [v for v in values.tolist() if not (0 <= v <= classes and v == int(v))]
    if wrong:
        shown = ", ".join(f"{value:g}" for value in wrong[:5]) + ", …" * (len(wrong) > 5)
        raise LimsupError(
            str(path),
            got=f"value {shown}",
            expected=f"whole numbers 0 to {classes} for {classes} classes",
            do="name all classes, or renumber the labels",
        )
    return array.astype(np.uint8)
