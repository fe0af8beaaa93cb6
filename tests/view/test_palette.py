from __future__ import annotations

import numpy as np
import pytest

from limsup_widgets.errors import LimsupError
from limsup_widgets.view.palette import class_palette, colour_table, css, ink

# Machado, Oliveira, Fernandes, "A physiologically-based model for simulation of color vision
# deficiency" (IEEE TVCG 2009), severity 1.0, on linear RGB.
DEFICIENCIES = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def as_lab(colours: np.ndarray, deficiency: str) -> np.ndarray:
    from skimage.color import rgb2lab

    value = colours / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(DEFICIENCIES[deficiency]), 0, 1)
    gamma = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    return rgb2lab(gamma[None])[0]


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_first_six_classes_differ_without_red_green_vision(deficiency) -> None:
    lab = as_lab(class_palette(6), deficiency)
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    assert distance[np.triu_indices(6, 1)].min() > 12


def test_values() -> None:
    assert colour_table(class_palette(2)).tolist() == [[0, 0, 0], [213, 94, 0], [0, 114, 178]]
    assert css(class_palette(1)[0]) == "#d55e00"
    assert (ink((255, 255, 255)), ink((0, 0, 0))) == ("#000000", "#ffffff")


def test_many_classes_stay_distinct() -> None:
    assert len(np.unique(class_palette(24), axis=0)) == 24


def test_errors() -> None:
    with pytest.raises(LimsupError, match="got 0"):
        class_palette(0)
