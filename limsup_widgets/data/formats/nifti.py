"""NIfTI, by nibabel: the affine is kept, the axes become (z, y, x)."""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, ImageDataError, SpatialImage
from nibabel.wrapstruct import WrapStructError

from limsup_widgets.data.formats import Raw, reading
from limsup_widgets.errors import LimsupError

_ERRORS = (
    ImageFileError,
    HeaderDataError,
    ImageDataError,
    WrapStructError,
    OSError,
    EOFError,
    ValueError,
    zlib.error,
)


def read(path: Path) -> Raw:
    """Read a NIfTI image as (H, W) or (D, H, W); scale factors of the header are applied.

    Raises
    ------
    LimsupError
        For a damaged file, colour voxels, or more than three axes longer than 1.

    Notes
    -----
    nibabel indexes voxels (x, y, z); here the array is turned to (z, y, x) and the affine left
    as it is, so that `array.T` with the affine is the image in its own space.
    """
    with reading(path, "NIfTI", *_ERRORS):
        stored = nibabel.load(path)
        if not isinstance(stored, SpatialImage):
            raise LimsupError(str(path), got=type(stored).__name__, expected="a NIfTI image")
        if stored.get_data_dtype().names or stored.get_data_dtype().kind == "c":
            raise LimsupError(
                str(path), got="colour or complex voxels", expected="one real number per voxel"
            )
        voxels = np.asanyarray(stored.dataobj)
        zooms = tuple(float(z) for z in stored.header.get_zooms()[:3])
        affine = np.array(stored.affine, dtype=float)
    shape = [*voxels.shape, 1, 1][: max(3, voxels.ndim)]
    if any(size > 1 for size in shape[3:]):
        raise LimsupError(
            str(path),
            got=f"{len(shape)} axes of lengths {tuple(shape)}",
            expected="a volume with three axes",
            do="save the wanted time point or channel as a file of its own",
        )
    volume = voxels.reshape(shape[:3]).T
    spacing = ((*zooms, 1.0, 1.0)[:3])[::-1]
    if volume.shape[0] == 1:
        return Raw(volume[0], "YX", spacing[1:], affine)
    return Raw(volume, "ZYX", spacing, affine)
