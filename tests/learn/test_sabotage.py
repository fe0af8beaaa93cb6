"""A deliberate fault in each method, and the ordinary check that must then turn red."""

from contextlib import contextmanager
from functools import partial
from itertools import count

import numpy as np
import pytest
import torch
from learn import (
    test_adapt,
    test_biomarker,
    test_crops,
    test_losses,
    test_moments,
    test_train,
    test_tune,
)

from limsup_widgets.learn import (
    adapt,
    biomarker,
    crops,
    dropout,
    losses,
    moments,
    passes,
    train,
    tune,
)

cross_entropy, mask = losses.partial_cross_entropy, dropout.mask
shared_passes, augmented_batch = moments.shared_passes, train.augmented_batch
uncertainty_weights = losses.uncertainty_weights


def weights_ignored(logits, targets, weights=None):
    return cross_entropy(logits, targets)


def mean_over_all_pixels(logits, targets, weights=None):
    share = (weights * (targets >= 0)).mean()
    return cross_entropy(logits, targets, weights) * share


def inverse_counts_without_cap(labels, classes, cap=10.0):
    counts = sum(np.bincount(y.ravel(), minlength=classes + 1)[1:] for y in labels)
    return (counts.sum() / np.maximum(counts, 1)).astype(np.float32)


def weights_of_the_first_class(mean, labels, **options):
    return uncertainty_weights(mean, np.minimum(labels, 1), **options)


def nothing_dropped(layer, index, shape, seed, number):
    return torch.ones_like(mask(layer, index, shape, seed, number))


def masks_not_shared(model, x, passes, seed=0, batch=None):
    return shared_passes(model, x, passes, seed + 1, batch)


def mask_of_the_call(layer, index, shape, seed, number, calls=count()):  # noqa: B008
    return mask(layer, index, shape, seed, next(calls))


@contextmanager
def whole_model_in_train_mode(model):
    model.train()
    with torch.no_grad():
        yield


def nothing_shared(model, x, passes, seed=0, batch=None):
    return moments.mc_passes(model, x, passes, seed)


def sample_variance(passes, progress=None):
    stack = torch.stack(list(passes)).double()
    parts = stack.mean(0), (stack * (1 - stack)).mean(0), stack.var(0, correction=1)
    return moments.Moments(*(p.float().numpy() for p in parts), len(stack))


def statistics_not_frozen(model, settings):
    model.train()


class WrongPatient(crops.CropSampler):
    """Each image gets the scribbles of the next one."""

    def __init__(self, inputs, labels, weights, *rest):
        super().__init__(inputs, [*labels[1:], labels[0]], [*weights[1:], weights[0]], *rest)


class LabelsNotTurned(crops.CropSampler):
    """Images are turned, labels and weights are not."""

    def _one(self):
        crop = super()._one()
        return torch.cat([crop[:-2].rot90(1, (1, 2)), crop[-2:]])


class BlindCrops(crops.CropSampler):
    """Places are drawn blindly, whatever was asked for."""

    def __init__(self, inputs, labels, weights, size, sampling, rng):
        super().__init__(inputs, labels, weights, size, "uniform", rng)


def sheared_grid(rng, crops, crop, side):
    """A turn in units of the image's sides, as if the image were square."""
    cosine, sine = (f(rng.uniform(0, 6.28, crops)) / 2 for f in (np.cos, np.sin))
    rows = [[cosine, -sine, 0 * sine], [sine, cosine, 0 * sine]]
    theta = torch.tensor(np.array(rows), dtype=torch.float32).permute(2, 0, 1)
    return torch.nn.functional.affine_grid(theta, [crops, 1, crop, crop], align_corners=False)


def targets_of_another_place(x, y, rng, *size):
    return augmented_batch(x, y, rng, *size)[0], augmented_batch(x, y, rng, *size)[1]


def features_in_train_mode(model, head, x, at):
    seen = []
    handle = head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        model.train()(x[None])
    handle.remove()
    return seen[0][0].numpy()[:, *at].T


def plain_quantile(residuals, coverage):
    return float(np.quantile(np.abs(residuals), coverage))


CROSS_ENTROPY = test_losses.check_weighted_cross_entropy
BALANCING = partial(test_losses.check_balancing_weights, test_losses.SCARCE, 3, 10.0)
THREE_PASSES = partial(
    test_moments.check_moments, np.array([[[[p]], [[1 - p]]] for p in (0.1, 0.5, 0.9)])
)
COVERAGE = partial(test_biomarker.check_coverage, list(np.linspace(0.1, 1, 12)), 0.9)

FAULTS = [
    (losses, "partial_cross_entropy", weights_ignored, CROSS_ENTROPY),
    (losses, "partial_cross_entropy", mean_over_all_pixels, CROSS_ENTROPY),
    (losses, "scribble_weights", inverse_counts_without_cap, BALANCING),
    (
        losses,
        "uncertainty_weights",
        weights_of_the_first_class,
        test_losses.check_uncertainty_weights,
    ),
    (tune, "partial_cross_entropy", weights_ignored, test_tune.check_no_weight_is_no_label),
    (tune, "set_tuning_mode", statistics_not_frozen, test_tune.check_frozen_statistics),
    (crops, "CropSampler", LabelsNotTurned, test_crops.check_alignment),
    (crops, "CropSampler", BlindCrops, test_crops.check_rare_class_is_met),
    (dropout, "mask", nothing_dropped, test_moments.check_passes_differ),
    (moments, "shared_passes", masks_not_shared, test_moments.check_shared_is_naive),
    (dropout, "mask", mask_of_the_call, test_moments.check_shared_is_naive),
    (passes, "evaluating", whole_model_in_train_mode, test_moments.check_untouched),
    (moments, "evaluating", whole_model_in_train_mode, test_moments.check_pass_by_hand),
    (moments, "shared_passes", nothing_shared, test_moments.check_prefix_runs_once),
    (moments, "moments_of", sample_variance, THREE_PASSES),
    (biomarker, "conformal_halfwidth", plain_quantile, COVERAGE),
    (train, "random_grid", sheared_grid, test_train.check_grid),
    (train, "augmented_batch", targets_of_another_place, test_train.check_augmentation),
]
TRAINED_FAULTS = [
    (tune, "CropSampler", WrongPatient, test_tune.check_tuning_helps),
    (train, "augmented_batch", targets_of_another_place, test_train.check_recipe_learns),
    (adapt, "_features_at", features_in_train_mode, test_adapt.check_features_in_eval_mode),
]


def named(fault):
    return pytest.param(*fault, id=f"{fault[0].__name__.rpartition('.')[2]}-{fault[2].__name__}")


@pytest.mark.parametrize(("module", "name", "fault", "check"), [named(f) for f in FAULTS])
def test_fault_is_seen(module, name, fault, check, monkeypatch):
    check()
    monkeypatch.setattr(module, name, fault)
    # What was found right with the true code is looked at again with the fault.
    monkeypatch.setattr(passes, "_CHECKED", {})
    with pytest.raises(AssertionError):
        check()


@pytest.mark.slow
@pytest.mark.parametrize(("module", "name", "fault", "check"), [named(f) for f in TRAINED_FAULTS])
def test_fault_is_seen_in_what_is_learned(module, name, fault, check, monkeypatch):
    monkeypatch.setattr(module, name, fault)
    with pytest.raises(AssertionError):
        check()
