"""Accepted results as files: labels, uncertainty, area fractions."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.data.image import Image
from limsup_widgets.session.case import Case
from limsup_widgets.session.covered import Covered, report_rows
from limsup_widgets.session.folder import write_whole

Maps = Mapping[int, NDArray[Any]]


def write_like(stem: Path, array: NDArray[Any], image: Image) -> Path:
    """Write an array that lies pixel for pixel on ``image``, in the format that suits it.

    Parameters
    ----------
    stem
        Path without extension.
    array
        ``(H, W)`` or ``(D, H, W)``, uint8 or float32.
    image
        Gives the affine: with one the file is NIfTI (``.nii.gz``), without it TIFF (``.tif``).
    """
    if image.affine is None:
        return _write_tiff(stem.with_name(stem.name + ".tif"), array)
    import nibabel as nib

    path = stem.with_name(stem.name + ".nii.gz")
    partial = stem.with_name(stem.name + ".part.nii.gz")
    in_space = array.T if array.ndim == 3 else array.T[..., None]
    nib.save(nib.Nifti1Image(np.ascontiguousarray(in_space), image.affine), partial)
    return partial.replace(path)


def _write_tiff(path: Path, array: NDArray[Any]) -> Path:
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, photometric="minisblack", compression="zlib")
    write_whole(path, buffer.getvalue())
    return path


def write_maps(folder: Path, case: Case, maps: Maps, kind: str) -> list[Path]:
    """Write one file per image, or per volume of which every plane is in ``maps``.

    Files are called ``<name of the image>.<kind>.tif`` or ``.nii.gz``.
    """
    names = _file_names([image.name for image in case.images])
    volumes = _file_names([source.name for source in case.sources])
    written = []
    for (source, indices), volume in zip(case.groups(), volumes, strict=True):
        if source.is_volume and all(i in maps for i in indices):
            stem = folder / f"{volume}.{kind}"
            written.append(write_like(stem, np.stack([maps[i] for i in indices]), source))
            continue
        for i in indices:
            if i in maps:
                written.append(write_like(folder / f"{names[i]}.{kind}", maps[i], case.images[i]))
    return written


def write_fractions(
    path: Path, case: Case, codes: Maps, model: str, large: Mapping[int, Covered] | None = None
) -> Path:
    """One row per image and class: pixels, and the share of the image that they are.

    Of a ``large`` image, the share of the part that was predicted.
    """
    counted = {i: (np.bincount(array.ravel()), array.size) for i, array in codes.items()}
    for i, part in (large or {}).items():
        counted[i] = part.labels.counts(len(case.classes)), part.pixels
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["image", "class", "code", "pixels", "fraction", "model"])
    for i, (found, size) in sorted(counted.items()):
        counts = np.pad(found, (0, max(0, len(case.classes) + 1 - len(found))))
        for code, name in enumerate(case.classes, start=1):
            share = f"{counts[code] / size:.6f}"
            rows.writerow([case.images[i].name, name, code, int(counts[code]), share, model])
    write_whole(path, text.getvalue().encode())
    return path


def write_large(folder: Path, case: Case, large: Mapping[int, Covered]) -> list[Path]:
    """A tiled TIFF of labels per image, and ``covered.csv`` with the boxes that were predicted."""
    if not large:
        return []
    names = _file_names([image.name for image in case.images])
    written = [part.labels.write(folder / f"{names[i]}.labels.tif") for i, part in large.items()]
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["image", "top", "left", "bottom", "right", "share"])
    rows.writerows(report_rows([image.name for image in case.images], large))
    write_whole(folder / "covered.csv", text.getvalue().encode())
    return [*written, folder / "covered.csv"]


def _clean(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name) or "image"


def _file_names(names: Sequence[str]) -> list[str]:
    """File names without duplicates: images of one name get their index behind it."""
    clean = [_clean(name) for name in names]
    return [name if clean.count(name) == 1 else f"{name}-{i}" for i, name in enumerate(clean)]
