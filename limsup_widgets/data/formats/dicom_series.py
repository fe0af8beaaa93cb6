"""A DICOM series: the files of a folder, sorted by their position in space, as one volume."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray

from limsup_widgets.data.formats import Raw, dicom, reading
from limsup_widgets.errors import LimsupError


def read_series(folder: Path, files: Sequence[Path]) -> tuple[Raw, tuple[Path, ...]]:
    """Read the files of one series as a volume (D, H, W); a single file as it is.

    Parameters
    ----------
    folder
        What to name in an error.
    files
        The files in any order.

    Returns
    -------
    tuple
        The volume and the files sorted along the normal of the slices.

    Raises
    ------
    LimsupError
        For no file, several series, slices of different size or direction, two slices at one
        place, or a damaged file (named).
    """
    if not files:
        raise LimsupError(
            str(folder), got="an empty series", expected="DICOM files", do="name another folder"
        )
    if len(files) == 1:
        return dicom.read(files[0]), (files[0],)
    slices = [_Slice.open(file) for file in files]
    _check_one_series(folder, slices)
    places, notes = _places(folder, slices)
    ranked = sorted(range(len(slices)), key=places.__getitem__)
    slices, places = [slices[i] for i in ranked], [places[i] for i in ranked]
    planes, changes = _planes(folder, slices)
    with reading(folder, "DICOM", *dicom.ERRORS):
        first = slices[0].header
        spacing, said = dicom.plane_spacing(first)
        gap, irregular = _gap(places) if not notes else (dicom.thickness(first), ())
        affine = dicom.affine_of([part.header for part in slices], spacing)
    raw = Raw(planes, "ZYX", (gap, *spacing), affine, (*notes, *changes, *said, *irregular))
    return raw, tuple(part.file for part in slices)


class _Slice(NamedTuple):
    file: Path
    header: pydicom.Dataset

    @classmethod
    def open(cls, file: Path) -> _Slice:
        with reading(file, "DICOM", *dicom.ERRORS):
            return cls(file, dicom.open_file(file))


def _check_one_series(folder: Path, slices: Sequence[_Slice]) -> None:
    series = {str(part.header.get("SeriesInstanceUID", "")) for part in slices}
    if len(series) > 1:
        raise LimsupError(
            str(folder),
            got=f"{len(slices)} files of {len(series)} series",
            expected="the files of one series",
            do="move each series into a folder of its own",
        )


def _planes(folder: Path, slices: Sequence[_Slice]) -> tuple[NDArray, tuple[str, ...]]:
    planes: list[NDArray] = []
    notes: set[tuple[str, ...]] = set()
    for file, header in slices:
        with reading(file, "DICOM", *dicom.ERRORS):
            plane, changes = dicom.pixels(file, header)
        if plane.ndim != 2:
            raise LimsupError(
                str(file), got=f"a slice of shape {plane.shape}", expected="one grey plane per file"
            )
        if planes and plane.shape != planes[0].shape:
            raise LimsupError(
                str(folder),
                got=f"slices of {planes[0].shape} and {plane.shape} ({file.name})",
                expected="one size",
                do="move the slices of another size out of the folder",
            )
        planes.append(plane)
        notes.add(changes)
    changes = notes.pop() if len(notes) == 1 else ("rescaled slice by slice",)
    return np.stack(planes), changes


def _places(folder: Path, slices: Sequence[_Slice]) -> tuple[list[float], tuple[str, ...]]:
    """Place of each slice along the common normal, or its instance number if there is no place."""
    normals = [dicom.normal_of(part.header) for part in slices]
    known = [normal for normal in normals if normal is not None]
    if len(known) == len(slices):
        if any(not np.allclose(normal, known[0], atol=1e-3) for normal in known):
            raise LimsupError(
                str(folder),
                got="slices that are not parallel",
                do="move scouts and other directions out of the folder",
            )
        places = [float(np.dot(dicom.origin(part.header), known[0])) for part in slices]
        notes: tuple[str, ...] = ()
    else:
        numbers = [part.header.get("InstanceNumber") for part in slices]
        if any(number is None for number in numbers):
            raise LimsupError(
                str(folder),
                got="slices without position and without number",
                do="give files with ImagePositionPatient",
            )
        places = [float(str(number)) for number in numbers]
        notes = ("slices without position: sorted by instance number",)
    if len({round(place, 3) for place in places}) < len(places):
        raise LimsupError(
            str(folder),
            got="two slices at the same place",
            expected="one time point",
            do="move each time point into a folder of its own",
        )
    return places, notes


def _gap(places: Sequence[float]) -> tuple[float, tuple[str, ...]]:
    steps = np.diff(places)
    gap = float(np.median(steps))
    if np.allclose(steps, gap, rtol=0.05):
        return gap, ()
    note = (
        f"distances of slices vary from {steps.min():.3g} to {steps.max():.3g} mm "
        "(is a slice missing?)"
    )
    return gap, (note,)
