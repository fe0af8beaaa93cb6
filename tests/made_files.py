"""Files made on the fly for the tests of readers, of the command line and of `apply`."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def write_png16(path: Path, array: NDArray) -> Path:
    """A 16-bit grey or RGB PNG, which Pillow cannot write in colour."""
    height, width = array.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 16, {2: 0, 3: 2}[array.ndim], 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return path


def write_slice(path: Path, pixels: NDArray, *, series: str = "1.2.3", **elements: object) -> Path:
    """One DICOM slice; further header elements by keyword (None leaves one out)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.SeriesInstanceUID = "CT", series
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = pixels.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    stated: dict[str, object] = {
        "PixelSpacing": [0.5, 0.75],
        "SliceThickness": 9,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [10, 20, 30],
        **elements,
    }
    for name, value in stated.items():
        if value is not None:
            setattr(dataset, name, value)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def write_series(folder: Path, planes: NDArray, *, gap: float = 2.5, **elements: object) -> Path:
    """A series whose file names are in the opposite order of its positions."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, plane in enumerate(planes):
        write_slice(
            folder / f"{len(planes) - index:03d}.dcm",
            plane,
            **{"ImagePositionPatient": [10, 20, 30 + gap * index], **elements},
        )
    return folder
