import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from limsup_widgets.data.image import Image
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.inputs import Normalizer, pad_to, unit_float


def test_values_unit_float():
    assert unit_float(np.array([[0, 255]], np.uint8)).tolist() == [[[0.0, 1.0]]]
    assert unit_float(np.array([[0, 255]], np.float32)).tolist() == [[[0.0, 255.0]]]
    colour = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    assert (unit_float(colour) == colour.transpose(2, 0, 1)).all()


def test_values_fit():
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (h, 7, 3), np.uint8) for h in (5, 9)]
    pooled = np.concatenate(arrays).reshape(-1, 3) / 255
    fitted = Normalizer.fit(arrays)
    assert np.allclose(fitted.mean, pooled.mean(0)) and np.allclose(fitted.std, pooled.std(0))
    normalised = np.concatenate([fitted(a).flatten(1) for a in arrays], axis=1)
    assert np.allclose(normalised.mean(1), 0, atol=1e-5) and np.allclose(normalised.std(1), 1)


def test_values_flat_channel():
    x = Normalizer.fit([np.full((4, 4), 7, np.uint8)])(np.full((4, 4), 7, np.uint8))
    assert x.dtype == torch.float32 and x.shape == (1, 4, 4) and x.abs().max() < 0.1


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 4, 8]), st.integers(0, 21))
def test_shapes_padding(height, width, divisor, least):
    x = torch.arange(2 * height * width, dtype=torch.float32).reshape(2, height, width)
    y = pad_to(x, divisor, least)
    assert all(n % divisor == 0 and n >= least for n in y.shape[-2:])
    assert all(
        n - m < max(divisor, least + divisor - m) for n, m in zip(y.shape, x.shape, strict=True)
    )
    rows, cols = np.indices(y.shape[-2:])
    assert torch.equal(y, x[:, rows.clip(max=height - 1), cols.clip(max=width - 1)])
    assert torch.equal(pad_to(x[None], divisor, least)[0], y)


def test_errors():
    with pytest.raises(LimsupError, match=r"got shape \(2, 2, 2, 2\), expected \(H, W\)"):
        unit_float(np.zeros((2, 2, 2, 2)))
    with pytest.raises(LimsupError, match="image channels: got 1, expected 3"):
        Normalizer((0.0,) * 3, (1.0,) * 3)(np.zeros((4, 4), np.uint8))


def test_values_of_a_lazy_image():
    pixels = np.random.default_rng(0).integers(0, 256, (900, 700, 3)).astype(np.uint8)
    image = Image.lazy(pixels)
    fitted, plain = Normalizer.fit([image.sample()]), Normalizer.fit([pixels])
    np.testing.assert_allclose([*fitted.mean, *fitted.std], [*plain.mean, *plain.std], atol=5e-3)
    assert torch.equal(plain(image.array), plain(pixels))
    giant = Image.lazy(np.broadcast_to(np.uint8(7), (20_000, 20_000, 3)), name="giant")
    with pytest.raises(LimsupError, match="giant: got 1144 MiB"):
        plain(giant.array)
