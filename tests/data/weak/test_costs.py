"""Annotation time: presets as their sources have them, and the arithmetic on top."""

import pytest

from limsup_widgets.data.weak import (
    BEARMAN,
    CITYSCAPES,
    COSTS,
    LECTURE,
    SYNTHETIC,
    affordable_images,
    annotation_seconds,
)
from limsup_widgets.data.weak.costs import KINDS
from limsup_widgets.errors import LimsupError


def test_values():
    assert annotation_seconds("dense", 5000, CITYSCAPES) / 3600 == 7500
    assert LECTURE.of("dense") / LECTURE.of("tag") == 3600
    assert round(BEARMAN.of("dense") / BEARMAN.of("tag")) == 12
    assert BEARMAN.of("tag") == 20 * LECTURE.of("tag")
    assert annotation_seconds("box", 6, empty=2) == 42
    assert affordable_images("dense", 16) == 4
    assert affordable_images("tag", 16, at_most=60) == 60


@pytest.mark.parametrize("kind", KINDS)
def test_roundtrip(kind):
    for images in (0, 1, 3, 7, 49):
        minutes = annotation_seconds(kind, images) / 60
        assert affordable_images(kind, minutes) == images


def test_every_preset_names_its_source():
    assert all(len(cost.source) > 20 for cost in COSTS.values())
    assert "recalled" in BEARMAN.source and "our assumption" in SYNTHETIC.source


def test_errors():
    with pytest.raises(LimsupError, match="tag, dense"):
        LECTURE.of("box")
    with pytest.raises(LimsupError):
        annotation_seconds("dense", 2, empty=3)
    with pytest.raises(LimsupError):
        affordable_images("dense", -1)
    with pytest.raises(LimsupError):
        SYNTHETIC.of("source")
