import numpy as np
import pytest

from limsup_widgets.data.kidney import CLASSES, kidney_cohort
from limsup_widgets.learn.metrics import dice_per_class, mean_dice
from limsup_widgets.learn.recipe import HELD_OUT_SEED, control_pairs, subject_dice
from limsup_widgets.learn.train import train_u0
from limsup_widgets.learn.weights import load_u0


def held_out():
    return kidney_cohort(HELD_OUT_SEED, controls=1, patients=0).controls[0]


def majority_dice(subject, images):
    """Of calling every pixel interstitium, tubule… whichever class is the largest."""
    truths = [subject.truth(i) for i in images]
    largest = np.bincount(np.concatenate([t.ravel() for t in truths])).argmax()
    guess = [np.full_like(t, largest) for t in truths]
    return mean_dice(dice_per_class(guess, truths, len(CLASSES)))


@pytest.mark.slow
def test_values_recipe_learns():
    """The recipe of the shipped networks, cut short, on two controls and tested on a third."""
    losses = []
    options = {"steps": 30, "batch": 4, "crop": 64, "progress": lambda _, loss: losses.append(loss)}
    network, normalizer = train_u0(control_pairs(controls=2), p_drop=0.2, **options)
    assert np.mean(losses[-5:]) < 0.85 * np.mean(losses[:5]), losses
    dice = mean_dice(subject_dice(network, normalizer, held_out(), [0]))
    control = majority_dice(held_out(), [0])
    assert dice > control + 0.1, (dice, control)


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [False, True])
def test_values_shipped(dropout):
    """The shipped network is as good on a control it never saw as its card says, or nearly."""
    network = load_u0(dropout)
    dice = subject_dice(network, network.card.normalizer, held_out(), [0])
    assert mean_dice(dice) > np.mean(network.card.dice["controls"]) - 0.1
