"""Read an image of any supported format; originals are only ever opened for reading."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from limsup_widgets.data.formats import Raw, dicom, dicom_series, nifti, raster, tiff, tiff_lazy
from limsup_widgets.data.image import Image
from limsup_widgets.data.label_files import check_scribbles, read_labels
from limsup_widgets.errors import LimsupError

__all__ = ["READERS", "check_scribbles", "find_images", "image_name", "read_image", "read_labels"]

READERS: dict[str, Callable[[Path], Raw]] = {
    ".png": raster.read,
    ".jpg": raster.read,
    ".jpeg": raster.read,
    **dict.fromkeys((".tif", ".tiff", ".ome.tif", ".ome.tiff", ".btf", ".svs"), tiff.read),
    ".nii": nifti.read,
    ".nii.gz": nifti.read,
    **dict.fromkeys(dicom.SUFFIXES, dicom.read),
}
"""Reader of each extension."""

_FORMATS = "PNG, JPEG, TIFF, NIfTI or DICOM"


def read_image(path: str | Path, *, lazy_from: int = tiff_lazy.LAZY_PIXELS) -> Image:
    """Read a file, or a folder that holds one DICOM series.

    Parameters
    ----------
    path
        PNG, JPEG, TIFF, NIfTI or DICOM. DICOM files need no extension.
    lazy_from
        Height times width from which a flat TIFF image stays on the disk and is read where it
        is looked at (`Image.read`, `Image.overview`).

    Returns
    -------
    Image
        Intensities uint8 or scaled to [0, 1] (see `scale_intensity`); `Image.notes` says in one
        line each what was scaled, dropped or assumed.

    Raises
    ------
    LimsupError
        For a missing file, an unknown format, damaged content, NaN or infinity, a folder without
        a series, or a series that is not one volume.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise LimsupError(str(path), got="no such file", do="check the name and the folder")
    if not path.is_dir() and _reader(path) is tiff.read:
        large = tiff_lazy.open_large(path, image_name(path), lazy_from)
        if large is not None:
            return large
    if path.is_dir():
        raw, files = dicom_series.read_series(path, _series_files(path))
    else:
        raw, files = _reader(path)(path), (path,)
    try:
        return Image.from_array(
            raw.array,
            image_name(path),
            axes=raw.axes,
            spacing=raw.spacing,
            affine=raw.affine,
            sha256=_files_sha256(files),
            path=path,
            notes=raw.notes,
        )
    except LimsupError as error:
        # The same line, but with the whole path where the image only knows its name.
        raise LimsupError(str(path), got=error.got, expected=error.expected, do=error.do) from error


def image_name(path: Path) -> str:
    """Name of a file without folder and extension (``.nii.gz`` is one extension)."""
    known = next((end for end in sorted(READERS, key=len)[::-1] if _ends(path, end)), "")
    return path.name[: len(path.name) - len(known)] or path.name


def find_images(folder: str | Path) -> list[Path]:
    """Images in a folder, sorted: files of a known format and sub-folders with a DICOM series.

    If the folder itself holds DICOM files of one series (more than one file), it is one image.

    Raises
    ------
    LimsupError
        If the folder does not exist or holds no image.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise LimsupError(str(folder), got="no such folder", do="check the name")
    slices = _dicom_files(folder)
    one_volume = len(slices) > 1 and len({dicom.series_uid(file) for file in slices}) == 1
    found = [folder] if one_volume else slices
    for entry in folder.iterdir():
        plain = entry.is_file() and any(_ends(entry, end) for end in READERS)
        if (plain and entry not in slices) or (entry.is_dir() and _dicom_files(entry)):
            found.append(entry)
    if not found:
        raise LimsupError(
            str(folder), got="a folder without images", expected=_FORMATS, do="name another folder"
        )
    return sorted(found)


def _ends(path: Path, end: str) -> bool:
    return path.name.lower().endswith(end)


def _reader(path: Path) -> Callable[[Path], Raw]:
    for end, read in READERS.items():
        if _ends(path, end):
            return read
    if dicom.is_dicom(path):
        return dicom.read
    raise LimsupError(
        str(path),
        got=f"extension {path.suffix!r}",
        expected=_FORMATS,
        do="convert the file, e.g. to TIFF or NIfTI",
    )


def _dicom_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file() and dicom.is_dicom(file))


def _series_files(folder: Path) -> list[Path]:
    files = _dicom_files(folder)
    if not files:
        others = sum(1 for file in folder.iterdir() if any(_ends(file, end) for end in READERS))
        raise LimsupError(
            str(folder),
            got=f"a folder with {others} images, none of them DICOM"
            if others
            else "an empty series",
            expected="the DICOM files of one series",
            do="name the files one by one" if others else "name a folder that holds DICOM files",
        )
    return files


def _files_sha256(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
