"""Label images as scribbles: the same codes from each format, one line for what cannot be used."""

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from limsup_widgets.data.readers import check_scribbles, read_labels
from limsup_widgets.errors import LimsupError

CODES = np.zeros((6, 9), np.uint8)
CODES[1, 1:4], CODES[4, 5:8] = 1, 3


def save(path, codes=CODES):
    if path.suffix == ".png":
        Pillow.fromarray(codes).save(path)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, codes)
    else:
        nibabel.save(nibabel.Nifti1Image(codes.T.astype(np.float32), np.eye(4)), path)
    return path


@pytest.mark.parametrize("end", ["png", "tif", "nii"])
def test_roundtrip(tmp_path, end):
    labels = read_labels(save(tmp_path / f"a.{end}"), classes=3, shape=(6, 9))
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, CODES)


def test_values_palette_gives_indices(tmp_path):
    picture = Pillow.fromarray(CODES).convert("P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.save(tmp_path / "a.png")
    assert np.array_equal(read_labels(tmp_path / "a.png", 3, (6, 9)), CODES)


def test_values_white_is_zero_is_not_inverted(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", CODES, photometric="miniswhite")
    assert np.array_equal(read_labels(tmp_path / "a.tif", 3, (6, 9)), CODES)


def test_values_volume(tmp_path):
    volume = np.stack([CODES, CODES * 0])
    assert np.array_equal(read_labels(save(tmp_path / "a.nii", volume), 3, (2, 6, 9)), volume)


@pytest.mark.parametrize(
    ("codes", "classes", "shape", "quoted"),
    [
        (CODES, 3, (6, 8), ("(6, 9)", "(6, 8)")),
        (CODES, 2, (6, 9), ("value 3", "0 to 2")),
        (CODES.astype(np.float32) + 0.5, 3, (6, 9), ("0.5",)),
        (CODES.astype(np.int16) - 1, 3, (6, 9), ("value -1",)),
        (np.dstack([CODES] * 3), 3, (6, 9), ("a colour image",)),
        (np.full((6, 9), np.nan, np.float32), 3, (6, 9), ("nan",)),
    ],
)
def test_errors(tmp_path, codes, classes, shape, quoted):
    path = save(tmp_path / "a.tif", codes)
    with pytest.raises(LimsupError) as error:
        read_labels(path, classes, shape)
    assert all(part in str(error.value) for part in (str(path), *quoted))


@pytest.mark.parametrize("name", ["a.jpg", "a.npy", "a.png"])
def test_errors_files(tmp_path, name):
    with pytest.raises(LimsupError, match="no such file"):
        read_labels(tmp_path / name, 2, (4, 4))
    (tmp_path / name).write_text("no image")
    with pytest.raises(LimsupError, match=name):
        read_labels(tmp_path / name, 2, (4, 4))


def test_errors_scribbles():
    check_scribbles(CODES, 3)
    with pytest.raises(LimsupError, match=r"a\.png: got no labelled pixel"):
        check_scribbles(CODES * 0, 3, name="a.png")
    with pytest.raises(LimsupError, match="class 1 only"):
        check_scribbles((CODES == 1).astype(np.uint8), 3)
