import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from limsup_widgets.teach.claims import claim
from limsup_widgets.teach.pictures import figure_png, interval_png, small_png


def _open(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def _png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="png")
    return buffer.getvalue()


def test_equivalence_small_png_looks_the_same():
    rows, columns = np.mgrid[:200, :300]
    waves = [np.sin(rows / 20), np.cos(columns / 30), np.sin(rows / 20)]
    noise = np.random.default_rng(0).normal(0, 4, (200, 300, 3))
    picture = (127 + 100 * np.stack(waves, axis=-1) + noise).astype(np.uint8)
    png = _png(picture)
    small = small_png(png)
    assert len(small) < len(png) / 2
    assert np.abs(_open(small) - picture).mean() < 6


def test_values_small_png_keeps_a_rare_colour():
    """A legend's patch keeps the colour of its class beside much tissue."""
    rows, columns = np.mgrid[:300, :400]
    noise = np.random.default_rng(0).normal(0, 8, (300, 400, 3))
    shades = np.stack([190 + rows / 9, 120 + columns / 9, 190 + columns / 18], axis=-1)
    picture = np.clip(shades + noise, 0, 255).astype(np.uint8)
    picture[:150] = np.clip(np.array([0, 114, 178]) + noise[:150], 0, 255)
    picture[280:290, 10:30] = (0, 158, 115)
    kept = _open(small_png(_png(picture)))[280:290, 10:30]
    assert np.abs(kept - (0, 158, 115)).max() < 12


def test_values_small_png_is_never_larger():
    noise = np.random.default_rng(0).integers(0, 2, (8, 8, 3), dtype=np.uint8) * 255
    assert len(small_png(_png(noise))) <= len(_png(noise))


def test_values_transparent_becomes_white():
    clear = np.zeros((40, 40, 4), np.uint8)
    clear[:20] = np.random.default_rng(0).integers(0, 255, (20, 40, 4))
    clear[:20, :, 3] = 255
    assert (_open(small_png(_png(clear)))[25:] == 255).all()


def test_roundtrip_the_same_figure_gives_the_same_bytes():
    def draw():
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([1, 3, 2])
        return figure_png(figure)

    assert draw() == draw()


@pytest.mark.parametrize(
    ("values", "margins"),
    [([0.1, 0.2], {}), ([1, 1, 1, 1, 1], {}), ([3], {}), ([0, 1, 2], {"within": 0.5})],
)
def test_shapes_of_interval_pictures(values, margins):
    height, width, _ = _open(interval_png(claim("x", values, **margins))).shape
    assert 60 < height < 250 < width < 800
