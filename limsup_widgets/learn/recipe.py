"""Make the shipped networks again: ``python -m limsup_widgets.learn.recipe [FOLDER]``.

Trains U0 and U0^D on the simulated controls and records their Dice on controls and patients that
they have never seen. About two minutes of one CPU core.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.data.kidney import CLASSES, Subject, kidney_cohort
from limsup_widgets.learn.device import torch_threads
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.inputs import Normalizer
from limsup_widgets.learn.metrics import dice_per_class
from limsup_widgets.learn.train import Pairs, train_u0
from limsup_widgets.learn.unet import UNet
from limsup_widgets.learn.weights import SHIPPED, ModelCard, save_model

COHORT_SEED = 5000
HELD_OUT_SEED = 9000
DROPOUT = 0.2
DROPOUT_AT = ("quarter", "half")
"""Chosen in ``results/placements.json``: later places share more and find fewer errors."""


def control_pairs(seed: int = COHORT_SEED, controls: int = 11) -> Pairs:
    """The 32 densely labelled images of the training controls (with 11 controls)."""
    subjects = kidney_cohort(seed, controls=controls, patients=0).controls
    return [(s.image(i), s.truth(i)) for s in subjects for i in range(s.n_images)]


def subject_dice(
    network: UNet, normalizer: Normalizer, subject: Subject, images: Sequence[int]
) -> NDArray[np.float64]:
    """Dice ``(4,)`` of one subject, pixels of ``images`` pooled."""
    predicted = [codes(predict(network, normalizer(subject.image(i)))) for i in images]
    return dice_per_class(predicted, [subject.truth(i) for i in images], len(CLASSES))


def recorded_dice(network: UNet, normalizer: Normalizer) -> dict[str, list[float]]:
    """Mean Dice per class on 8 new controls and on the cohort's 20 patients (test images)."""
    held_out = kidney_cohort(HELD_OUT_SEED, controls=8, patients=0).controls
    patients = kidney_cohort(COHORT_SEED).patients
    rows = {
        "controls": [subject_dice(network, normalizer, s, range(s.n_images)) for s in held_out],
        "patients": [subject_dice(network, normalizer, s, s.test) for s in patients],
    }
    return {k: np.nanmean(v, axis=0).round(4).tolist() for k, v in rows.items()}


def make(folder: Path, seed: int = 0, steps: int = 260) -> None:
    """Train both networks and write ``u0.safetensors`` and ``u0d.safetensors`` into ``folder``."""
    pairs = control_pairs()
    for name, p_drop in (("u0", 0.0), ("u0d", DROPOUT)):
        with torch_threads(1):
            network, normalizer = train_u0(pairs, p_drop, DROPOUT_AT, seed=seed, steps=steps)
            dice = recorded_dice(network, normalizer)
        card = ModelCard(
            name=name,
            classes=CLASSES,
            mean=tuple(round(v, 6) for v in normalizer.mean),
            std=tuple(round(v, 6) for v in normalizer.std),
            seed=seed,
            command="python -m limsup_widgets.learn.recipe",
            dice=dice,
        )
        save_model(folder / f"{name}.safetensors", network, card)
        print(name, {k: round(float(np.mean(v)), 3) for k, v in dice.items()})


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else SHIPPED)
