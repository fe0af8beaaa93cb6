"""Image: axes, spacing, affine, planes, and the one rule for intensities."""

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from limsup_widgets.data.image import Image
from limsup_widgets.data.intensity import scale_intensity
from limsup_widgets.errors import LimsupError

AFFINE = np.array([[-0.5, 0, 0, 90.0], [0, 0, 3.0, -40], [0, 0.5, 0, 7], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("shape", "axes", "channels", "plane"),
    [
        ((6, 8), "YX", 1, (6, 8)),
        ((6, 8, 3), "YXC", 3, (6, 8)),
        ((6, 8, 4), "YXC", 4, (6, 8)),
        ((5, 6, 8), "ZYX", 1, (6, 8)),
    ],
)
def test_shapes(shape, axes, channels, plane):
    image = Image.from_array(np.zeros(shape, np.uint8))
    assert (image.axes, image.channels, image.shape) == (axes, channels, plane)
    assert len(image.spacing) == len(axes.replace("C", ""))


def test_values_copy_and_identity():
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.from_array(array, name="a")
    digest = image.sha256
    array[:] = 0
    assert image.array[2, 3] == 11
    assert digest == Image.from_array(np.arange(12, dtype=np.uint8).reshape(3, 4)).sha256
    assert digest != Image.from_array(np.arange(12, dtype=np.uint8).reshape(4, 3)).sha256


@pytest.mark.parametrize(
    ("array", "expected", "says"),
    [
        (np.array([[0, 255]], np.uint8), [[0, 255]], ""),
        (np.array([[0.25, 1.0]]), [[0.25, 1.0]], ""),
        (np.array([[False, True]]), [[0, 255]], "black and white"),
        (np.array([[100, 300]], np.uint16), [[0, 1]], "uint16 scaled: 101 to 299"),
        (np.array([[-1000, 1000]], np.int16), [[0, 1]], "int16 scaled"),
        (np.array([[7.0, 7.0]]), [[0, 0]], "constant at 7"),
    ],
)
def test_values_scale(array, expected, says):
    scaled, notes = scale_intensity(array)
    assert scaled.tolist() == expected
    assert scaled.dtype == (np.uint8 if array.dtype in (np.uint8, np.bool_) else np.float32)
    assert (says in notes[0]) if says else notes == ()


def test_values_few_bright_dots_survive():
    dots = np.zeros((40, 40), np.uint16)
    dots[3, 3] = 900
    assert scale_intensity(dots)[0].max() == 1


@given(
    hnp.arrays(
        st.sampled_from([np.uint16, np.int32, np.float64, ">i2"]),
        hnp.array_shapes(min_dims=2, max_dims=3, max_side=5),
        elements=st.integers(0, 30000),
    )
)
def test_values_scaling_keeps_order_and_range(array):
    scaled, _ = scale_intensity(array)
    assert scaled.dtype == np.float32
    assert scaled.min() >= 0
    assert scaled.max() <= 1
    flat, result = array.ravel().astype(float), scaled.ravel()
    assert np.all(np.diff(result[np.argsort(flat)]) >= 0)


@pytest.mark.parametrize(
    ("array", "quoted"),
    [
        (np.array([[np.nan, 1.0]]), "1 of 2 pixels NaN or infinite"),
        (np.array([[np.inf, 1.0]]), "NaN or infinite"),
        (np.zeros((0, 3)), "no pixels"),
        (np.zeros((2, 2), complex), "complex128"),
        (np.zeros(4, np.uint8), "(4,)"),
        (np.zeros((2, 2, 2, 2), np.uint8), "(2, 2, 2, 2)"),
    ],
)
def test_errors(array, quoted):
    with pytest.raises(LimsupError) as error:
        Image.from_array(array, name="brain")
    assert str(error.value).startswith("brain: got ")
    assert quoted in str(error.value)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_equivalence_planes_lie_where_the_volume_lies(axis):
    rng = np.random.default_rng(0)
    volume = Image.from_array(
        rng.integers(0, 255, (4, 5, 6)).astype(np.uint8),
        axes="ZYX",
        spacing=(3.0, 0.5, 0.7),
        affine=AFFINE,
        name="scan",
    )
    planes = volume.planes(axis)
    assert len(planes) == volume.array.shape[axis]
    plane = planes[2]
    assert plane.axes == "YX"
    assert np.array_equal(plane.array, volume.array.take(2, axis=axis))
    assert plane.spacing == tuple(s for i, s in enumerate((3.0, 0.5, 0.7)) if i != axis)
    for row, column in [(0, 0), (1, 3)]:
        index = [row, column]
        index.insert(axis, 2)
        in_volume = nibabel.affines.apply_affine(AFFINE, index[::-1])
        in_plane = nibabel.affines.apply_affine(plane.affine, [column, row, 0])
        assert np.allclose(in_volume, in_plane)


def test_values_planes():
    flat = Image.from_array(np.zeros((4, 4), np.uint8))
    assert flat.planes() == [flat]
    volume = Image.from_array(np.eye(4, dtype=np.uint8).reshape(2, 2, 4), axes="ZYX")
    names = [plane.name for plane in volume.planes(axis=1)]
    assert names == ["image_y000", "image_y001"]
    assert len({plane.sha256 for plane in volume.planes()}) == 2
    with pytest.raises(LimsupError, match="got 3"):
        volume.planes(3)
