"""Readers: every format gives the same kind of Image, every wrong file one clear line."""

import hashlib

import nibabel
import numpy as np
import pytest
import tifffile
from made_files import write_png16, write_series, write_slice
from PIL import Image as Pillow

from limsup_widgets.data.readers import find_images, image_name, read_image
from limsup_widgets.errors import LimsupError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 17)).astype(np.uint8)
RGB = RNG.integers(0, 256, (12, 17, 3)).astype(np.uint8)
DEEP = RNG.integers(0, 60000, (12, 17)).astype(np.uint16)


def check_untouched(path):
    """Read, and hold that the file is as it was and that the checksum is that of its bytes."""
    before = path.read_bytes()
    image = read_image(path)
    assert path.read_bytes() == before
    assert image.sha256 == hashlib.sha256(before).hexdigest()
    assert image.path == path
    return image


@pytest.mark.parametrize("end", [".png", ".tif", ".PNG"])
@pytest.mark.parametrize(("pixels", "axes"), [(GREY, "YX"), (RGB, "YXC")])
def test_roundtrip_8_bit(tmp_path, end, pixels, axes):
    path = tmp_path / f"a{end}"
    Pillow.fromarray(pixels).save(path)
    image = check_untouched(path)
    assert (image.axes, image.name, image.notes, image.spacing) == (axes, "a", (), (1.0, 1.0))
    assert np.array_equal(image.array, pixels)


def test_values_jpeg(tmp_path):
    smooth = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    Pillow.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(check_untouched(tmp_path / "a.jpg").array.astype(int) - smooth).max() < 8


def test_values_exif_orientation_is_obeyed(tmp_path):
    exif = Pillow.Exif()
    exif[274] = 6
    Pillow.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    image = read_image(tmp_path / "a.png")
    assert np.array_equal(image.array, np.rot90(RGB, -1))
    assert "EXIF" in image.notes[0]


@pytest.mark.parametrize("end", ["png", "tif"])
def test_values_16_bit_window_is_stated(tmp_path, end):
    path = tmp_path / f"a.{end}"
    if end == "png":
        write_png16(path, DEEP)
    else:
        tifffile.imwrite(path, DEEP)
    image = check_untouched(path)
    low, high = np.percentile(DEEP, (0.5, 99.5))
    assert image.array.dtype == np.float32
    assert np.allclose(image.array, np.clip((DEEP - low) / (high - low), 0, 1), atol=1e-6)
    assert image.notes[0].startswith(f"uint16 scaled: {low:g} to {high:g}")


def test_values_16_bit_colour_png_says_what_is_lost(tmp_path):
    path = write_png16(tmp_path / "a.png", np.dstack([DEEP] * 3))
    image = read_image(path)
    assert np.array_equal(image.array[..., 0], (DEEP >> 8).astype(np.uint8))
    assert "upper 8 bits" in image.notes[0]


@pytest.mark.parametrize("end", ["png", "tif"])
def test_values_alpha_is_dropped_and_said(tmp_path, end):
    path = tmp_path / f"a.{end}"
    rgba = np.dstack([RGB, GREY])
    if end == "png":
        Pillow.fromarray(rgba).save(path)
    else:
        tifffile.imwrite(path, rgba, photometric="rgb", extrasamples=["unassalpha"])
    image = read_image(path)
    assert image.notes == ("alpha channel dropped",)
    assert np.array_equal(image.array, RGB)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "raw"])
def test_values_tiff_of_other_colour_models(tmp_path, mode, compression):
    picture = Pillow.fromarray(RGB).convert(mode)
    picture.save(tmp_path / "a.tif", compression=compression)
    image = read_image(tmp_path / "a.tif")
    assert np.array_equal(image.array, np.array(picture.convert("RGB")))
    assert f"{mode} colours converted to RGB" in image.notes


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "raw"])
def test_equivalence_tiff_compressions(tmp_path, compression):
    Pillow.fromarray(RGB).save(tmp_path / "a.tif", compression=compression)
    assert np.array_equal(read_image(tmp_path / "a.tif").array, RGB)


def test_values_tiff_kinds(tmp_path):
    stack = RNG.integers(0, 255, (3, 12, 17)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    tifffile.imwrite(tmp_path / "planar.tif", stack, photometric="rgb", planarconfig="separate")
    tifffile.imwrite(tmp_path / "negative.tif", GREY, photometric="miniswhite")
    Pillow.fromarray(GREY).convert("P").save(tmp_path / "palette.tif")
    assert read_image(tmp_path / "stack.tif").axes == "ZYX"
    assert np.array_equal(read_image(tmp_path / "planar.tif").array, np.moveaxis(stack, 0, -1))
    assert np.array_equal(read_image(tmp_path / "negative.tif").array, 255 - GREY)
    assert read_image(tmp_path / "palette.tif").axes == "YXC"


def test_roundtrip_nifti_keeps_the_affine(tmp_path):
    affine = np.array([[-2, 0, 0, 40], [0, 3, 0, -10], [0, 0, 4, 5], [0, 0, 0, 1.0]])
    voxels = RNG.random((5, 6, 7)).astype(np.float32)
    path = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    image = check_untouched(path)
    assert (image.axes, image.name, image.spacing) == ("ZYX", "scan", (4.0, 3.0, 2.0))
    assert np.array_equal(image.array.T, voxels)
    assert np.array_equal(image.affine, affine)
    assert len(image.planes()) == 7


def test_values_nifti_scale_factor_and_flat(tmp_path):
    stored = nibabel.Nifti1Image(np.arange(12, dtype=np.int16).reshape(3, 4, 1), np.eye(4))
    stored.header.set_slope_inter(0.05, 0.1)
    nibabel.save(stored, tmp_path / "a.nii")
    image = read_image(tmp_path / "a.nii")
    assert image.axes == "YX"
    assert np.allclose(image.array.T, np.arange(12).reshape(3, 4) * 0.05 + 0.1)


def test_values_dicom_rescale_and_geometry(tmp_path):
    pixels = np.arange(12, dtype=np.int16).reshape(3, 4)
    path = write_slice(tmp_path / "a.dcm", pixels, RescaleSlope=2, RescaleIntercept=-1000)
    image = check_untouched(path)
    assert image.spacing == (0.5, 0.75)
    assert "2 × stored value + -1000" in image.notes[0]
    assert "scaled: -999.89 to -978.11" in image.notes[1]
    at_corner = image.affine @ [3, 2, 0, 1]
    assert np.allclose(at_corner[:3], [-(10 + 3 * 0.75), -(20 + 2 * 0.5), 30])


def test_values_dicom_monochrome1_is_inverted(tmp_path):
    path = write_slice(tmp_path / "a.dcm", GREY, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(read_image(path).array, 255 - GREY)


def test_values_dicom_without_extension_or_spacing(tmp_path):
    image = read_image(write_slice(tmp_path / "IM0001", GREY, PixelSpacing=None))
    assert image.spacing == (1.0, 1.0)
    assert "no pixel spacing" in image.notes[0]


def test_equivalence_series_is_sorted_by_position(tmp_path):
    planes = RNG.integers(-500, 500, (4, 6, 8)).astype(np.int16)
    image = read_image(write_series(tmp_path / "ct", planes, RescaleSlope=3, RescaleIntercept=7))
    low, high = np.percentile(planes * 3.0 + 7, (0.5, 99.5))
    expected = np.clip((planes * 3.0 + 7 - low) / (high - low), 0, 1)
    assert image.axes == "ZYX"
    assert np.allclose(image.array, expected, atol=1e-6)
    assert image.spacing == (2.5, 0.5, 0.75)
    assert np.allclose((image.affine @ [0, 0, 3, 1])[:3], [-10, -20, 37.5])


def test_values_series_checksum_is_that_of_the_sorted_files(tmp_path):
    folder = write_series(tmp_path / "ct", np.stack([GREY, GREY // 2]))
    data = (folder / "002.dcm").read_bytes() + (folder / "001.dcm").read_bytes()
    assert read_image(folder).sha256 == hashlib.sha256(data).hexdigest()


def test_values_series_without_positions_and_with_a_gap(tmp_path):
    planes = np.stack([GREY, GREY // 2, GREY // 3])
    for index, plane in enumerate(planes):
        (tmp_path / "n").mkdir(exist_ok=True)
        write_slice(
            tmp_path / "n" / f"{9 - index}.dcm",
            plane,
            InstanceNumber=index,
            ImagePositionPatient=None,
        )
    numbered = read_image(tmp_path / "n")
    assert np.array_equal(numbered.array, planes)
    assert "instance number" in numbered.notes[0]
    folder = write_series(tmp_path / "gap", planes)
    write_slice(folder / "far.dcm", GREY, ImagePositionPatient=[10, 20, 60])
    assert any("slice missing" in note for note in read_image(folder).notes)


def text_file(path):
    path.write_text("this is no image")
    return path


def cut(path, writer, share=0.6):
    writer(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


STACK = RNG.integers(0, 60000, (5, 12, 17)).astype(np.uint16)
WRITERS = {
    "a.png": lambda p: Pillow.fromarray(RGB).save(p),
    "a.jpg": lambda p: Pillow.fromarray(RGB).save(p),
    "a.tif": lambda p: tifffile.imwrite(p, RGB),
    "zlib.tif": lambda p: tifffile.imwrite(p, RGB, compression="zlib"),
    "lzw.tif": lambda p: Pillow.fromarray(RGB).save(p, compression="tiff_lzw"),
    "stack.tif": lambda p: tifffile.imwrite(p, STACK, photometric="minisblack"),
    "pages.tif": lambda p: tifffile.imwrite(p, STACK, metadata=None, photometric="minisblack"),
    "a.nii": lambda p: nibabel.save(nibabel.Nifti1Image(STACK, np.eye(4)), p),
    "a.nii.gz": lambda p: nibabel.save(nibabel.Nifti1Image(STACK, np.eye(4)), p),
    "a.dcm": lambda p: write_slice(p, DEEP),
}


def check_refused(path, *quoted):
    with pytest.raises(LimsupError) as error:
        read_image(path)
    line = str(error.value)
    assert "\n" not in line
    assert str(path) in line
    assert all(part in line for part in quoted), line


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.6, 0.9])
def test_errors_truncated(tmp_path, name, share):
    check_refused(cut(tmp_path / name, WRITERS[name], share))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.nii", "a.nii.gz", "a.dcm"])
def test_errors_text_file(tmp_path, name):
    check_refused(text_file(tmp_path / name), "Do: ")


def test_errors_names_and_folders(tmp_path):
    check_refused(tmp_path / "missing.png", "no such file")
    check_refused(text_file(tmp_path / "notes.docx"), ".docx", "PNG, JPEG, TIFF, NIfTI or DICOM")
    (tmp_path / "empty").mkdir()
    check_refused(tmp_path / "empty", "an empty series")
    (tmp_path / "pictures").mkdir()
    Pillow.fromarray(GREY).save(tmp_path / "pictures" / "a.png")
    check_refused(tmp_path / "pictures", "1 images, none of them DICOM")
    Pillow.fromarray(GREY).save(tmp_path / "really.jpg", format="PNG")
    assert read_image(tmp_path / "really.jpg").array.shape == GREY.shape
    Pillow.fromarray(GREY).save(tmp_path / "bmp.png", format="BMP")
    check_refused(tmp_path / "bmp.png", "a BMP file")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_errors_not_finite(tmp_path, bad):
    pixels = np.ones((4, 5), np.float32)
    pixels[1, 2] = bad
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    check_refused(tmp_path / "a.tif", "1 of 20 pixels NaN or infinite")
    nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), tmp_path / "a.nii")
    check_refused(tmp_path / "a.nii", "NaN or infinite")


def test_errors_too_many_axes(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 4, 5, 3), np.uint8), photometric="rgb")
    check_refused(tmp_path / "a.tif", "(2, 4, 5, 3)")
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5, 6)), np.eye(4)), tmp_path / "a.nii")
    check_refused(tmp_path / "a.nii", "(3, 4, 5, 6)", "time point")


def test_errors_series(tmp_path):
    two = np.stack([GREY, GREY])
    mixed = write_series(tmp_path / "mixed", two)
    write_slice(mixed / "z.dcm", GREY[:-2], ImagePositionPatient=[10, 20, 99])
    check_refused(mixed, "(12, 17)", "(10, 17)", "z.dcm")
    twice = write_series(tmp_path / "twice", two, gap=0)
    check_refused(twice, "same place")
    several = write_series(tmp_path / "several", two)
    write_slice(several / "z.dcm", GREY, series="9.9", ImagePositionPatient=[10, 20, 99])
    check_refused(several, "3 files of 2 series")
    turned = write_series(tmp_path / "turned", two)
    write_slice(
        turned / "z.dcm",
        GREY,
        ImagePositionPatient=[10, 20, 99],
        ImageOrientationPatient=[0, 1, 0, 0, 0, 1],
    )
    check_refused(turned, "not parallel")
    broken = write_series(tmp_path / "broken", two)
    text_file(broken / "z.dcm")
    with pytest.raises(LimsupError, match=r"z\.dcm"):
        read_image(broken)


def test_values_names(tmp_path):
    names = {"a.nii.gz": "a", "b.v2.TIF": "b.v2", "IM0001": "IM0001", ".png": ".png"}
    assert {name: image_name(tmp_path / name) for name in names} == names


def test_values_find_images(tmp_path):
    write_series(tmp_path / "ct", np.stack([GREY, GREY]))
    for name in ("b.png", "a.tif", "notes.txt"):
        text_file(tmp_path / name)
    (tmp_path / "other").mkdir()
    found = find_images(tmp_path)
    assert [path.name for path in found] == ["a.tif", "b.png", "ct"]
    assert find_images(tmp_path / "ct") == [tmp_path / "ct"]
    write_slice(tmp_path / "ct" / "scout.dcm", GREY, series="9.9")
    assert len(find_images(tmp_path / "ct")) == 3
    for folder in ("other", "none"):
        with pytest.raises(LimsupError, match=folder):
            find_images(tmp_path / folder)
