"""One DICOM file, by pydicom, and the geometry its header states."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder, pixel_array

from limsup_widgets.data.formats import Raw, reading
from limsup_widgets.errors import LimsupError

SUFFIXES = (".dcm", ".dicom", ".ima")

ERRORS = (
    InvalidDicomError,
    OSError,
    EOFError,
    ValueError,
    AttributeError,
    KeyError,
    TypeError,
    IndexError,
    NotImplementedError,
    RuntimeError,
    struct.error,
)
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its extension or by the letters DICM behind its preamble."""
    if path.suffix.lower() in SUFFIXES:
        return True
    if path.suffix and not path.suffix[1:].isdigit():
        return False
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM" and path.name.upper() != "DICOMDIR"


def series_uid(path: Path) -> str:
    """Identifier of the series a file belongs to ("" if it does not say)."""
    with reading(path, "DICOM", *ERRORS):
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
        return str(header.get("SeriesInstanceUID", ""))


def read(path: Path) -> Raw:
    """Read one DICOM file: (H, W), (H, W, 3), or (D, H, W) if it has frames.

    The rescale slope and intercept (or the modality table) are applied, MONOCHROME1 is inverted
    so that larger is brighter, spacing is in millimetres.
    """
    with reading(path, "DICOM", *ERRORS):
        dataset = open_file(path)
        array, notes = pixels(path, dataset)
        spacing, said = plane_spacing(dataset)
        colour = _is_colour(dataset)
        if array.ndim == 3 and not colour:
            depth = dataset.get("SpacingBetweenSlices") or thickness(dataset)
            return Raw(array, "ZYX", (float(depth), *spacing), None, (*notes, *said))
        if array.ndim > 3:
            raise LimsupError(
                str(path),
                got=f"{len(array)} colour frames",
                expected="one colour image or grey frames",
                do="save one frame as a file of its own",
            )
        affine = affine_of([dataset], spacing)
    return Raw(array, "YXC" if colour else "YX", spacing, affine, (*notes, *said))


def open_file(path: Path) -> pydicom.Dataset:
    """Read header and stored bytes; what is not DICOM is refused in one line."""
    try:
        return pydicom.dcmread(path)
    except InvalidDicomError as error:
        raise LimsupError(
            str(path),
            got="no DICOM file (no letters DICM behind the preamble)",
            do="give the file its true extension, or export it again as DICOM part 10",
        ) from error


def pixels(path: Path, dataset: pydicom.Dataset) -> tuple[NDArray, tuple[str, ...]]:
    """Pixels in the unit the header states, larger = brighter, and one line per change."""
    if "PixelData" not in dataset:
        raise LimsupError(
            str(path), got="a DICOM file without pixels", do="name a file that holds an image"
        )
    _check_decoder(path, dataset)
    array = pixel_array(dataset)
    if _is_palette(dataset):
        colours = apply_color_lut(array, dataset)
        if colours.dtype == np.uint16:
            colours = (colours >> 8).astype(np.uint8)
        return colours, ("palette image read as its colours",)
    if _is_colour(dataset):
        return array, ()
    values = apply_modality_lut(array, dataset)
    notes: tuple[str, ...] = ()
    slope, intercept = dataset.get("RescaleSlope", 1), dataset.get("RescaleIntercept", 0)
    if (slope, intercept) != (1, 0):
        notes = (f"rescaled: {slope:g} × stored value + {intercept:g}",)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        values = 255 - values if values.dtype == np.uint8 else -values.astype(np.float64)
        notes = (*notes, "stored with white as the smallest value: inverted")
    return values, notes


def _is_palette(dataset: pydicom.Dataset) -> bool:
    return dataset.get("PhotometricInterpretation") == "PALETTE COLOR"


def _is_colour(dataset: pydicom.Dataset) -> bool:
    return dataset.get("SamplesPerPixel", 1) > 1 or _is_palette(dataset)


def _check_decoder(path: Path, dataset: pydicom.Dataset) -> None:
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not get_decoder(syntax).is_available:
        raise LimsupError(
            str(path),
            got=f"pixels compressed as {syntax.name}",
            do="pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg",
        )


def plane_spacing(dataset: pydicom.Dataset) -> tuple[tuple[float, float], tuple[str, ...]]:
    """Millimetres between rows and between columns."""
    stated = dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing")
    if not stated:
        return (1.0, 1.0), ("no pixel spacing in the file: 1 assumed",)
    return (float(stated[0]), float(stated[1])), ()


def thickness(dataset: pydicom.Dataset) -> float:
    """Thickness of the slice in millimetres, 1 if not stated."""
    return float(dataset.get("SliceThickness") or 1)


def origin(dataset: pydicom.Dataset) -> NDArray:
    """Position (3,) of the first pixel in millimetres (left, posterior, superior)."""
    return np.array(dataset.ImagePositionPatient, dtype=float)


def normal_of(dataset: pydicom.Dataset) -> NDArray | None:
    """Unit normal (3,) of the slice, or None if the header does not place it in space."""
    if not dataset.get("ImageOrientationPatient") or not dataset.get("ImagePositionPatient"):
        return None
    cosines = np.array(dataset.ImageOrientationPatient, dtype=float)
    return np.cross(cosines[:3], cosines[3:])


def affine_of(slices: list[pydicom.Dataset], spacing: tuple[float, float]) -> NDArray | None:
    """Matrix (4, 4) from indices (x, y, z) to millimetres (right, anterior, superior).

    DICOM counts towards left and posterior, which is what the last product turns round.
    """
    normal = normal_of(slices[0])
    if normal is None:
        return None
    cosines = np.array(slices[0].ImageOrientationPatient, dtype=float)
    step = normal * thickness(slices[0])
    if len(slices) > 1:
        step = (origin(slices[-1]) - origin(slices[0])) / (len(slices) - 1)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = cosines[:3] * spacing[1], cosines[3:] * spacing[0]
    affine[:3, 2], affine[:3, 3] = step, origin(slices[0])
    return _LPS_TO_RAS @ affine
