"""Atoms are made by a real Labels layer, without a window."""

from __future__ import annotations

import numpy as np
import pytest

from limsup_widgets.view.atoms import painted

napari_layers = pytest.importorskip("napari.layers")


def record(shape, act):
    layer = napari_layers.Labels(np.zeros(shape, np.uint8))
    events: list = []
    layer.events.paint.connect(lambda event: events.append(event.value))
    act(layer)
    rebuilt = np.zeros(layer.data.size, np.uint8)
    for atoms in events:
        for pixels, code in painted(atoms, shape):
            rebuilt[pixels] = code
    return layer.data, rebuilt.reshape(shape)


def stroke(layer) -> None:
    layer.brush_size = 5
    with layer.block_history():
        for x in range(5, 20, 2):
            layer.paint((10, x), 2)


def stroke_then_erase(layer) -> None:
    stroke(layer)
    with layer.block_history():
        layer.paint((10, 9), 0)


def fill(layer) -> None:
    layer.fill((3, 3), 3)


def polygon(layer) -> None:
    layer.paint_polygon([(2, 2), (2, 12), (14, 12)], 1)


def setitem(layer) -> None:
    layer.data_setitem((np.array([1, 2]), np.array([3, 4])), np.array([1, 2]))


def whole_box(layer) -> None:
    layer.brush_size = 1
    layer.paint((4, 4), 2)


@pytest.mark.parametrize("act", [stroke, stroke_then_erase, fill, polygon, setitem, whole_box])
def test_roundtrip(act) -> None:
    data, rebuilt = record((20, 26), act)
    assert data.any()
    assert np.array_equal(data, rebuilt)


def test_one_stroke_is_one_entry_with_each_pixel_once() -> None:
    events: list = []
    layer = napari_layers.Labels(np.zeros((20, 26), np.uint8))
    layer.events.paint.connect(lambda event: events.append(event.value))
    stroke(layer)
    ((pixels, code),) = painted(events[0], (20, 26))
    assert code == 2
    assert len(np.unique(pixels)) == len(pixels) == np.count_nonzero(layer.data)
