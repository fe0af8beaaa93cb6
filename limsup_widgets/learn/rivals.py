"""What fine-tuning has to beat: classifiers on features, and batch statistics without a label."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.infer import evaluating, prepare
from limsup_widgets.learn.inputs import unit_float
from limsup_widgets.learn.tune import NORMS, Network
from limsup_widgets.learn.unet import UNet

FeatureMap = Callable[[Any], NDArray[np.float32]]
"""One image → features ``(H, W, F)``."""


def colour(array: NDArray[Any]) -> NDArray[np.float32]:
    """The channels themselves, ``(H, W, C)``."""
    return np.moveaxis(unit_float(array), 0, -1)


def multiscale(array: NDArray[Any]) -> NDArray[np.float32]:
    """Intensity, edge and texture at five scales, σ 0.5…8 px, ``(H, W, F)`` (scikit-image)."""
    from skimage.feature import multiscale_basic_features

    axis = -1 if array.ndim == 3 else None
    return multiscale_basic_features(
        colour(array) if array.ndim == 3 else colour(array)[..., 0],
        channel_axis=axis,
        sigma_min=0.5,
        sigma_max=8,
        workers=1,
    ).astype(np.float32)


def deep_features(model: UNet) -> Callable[[Tensor], NDArray[np.float32]]:
    """All decoder levels of a frozen U-Net, upsampled to the image: ``(C, H, W) → (H, W, F)``."""

    def features(x: Tensor) -> NDArray[np.float32]:
        batch = prepare(model, x)
        size = batch.shape[-2:]
        with evaluating(model):
            levels = [
                F.interpolate(f, size=size, mode="bilinear", align_corners=False)
                for f in model.features(batch)
            ]
        stacked = torch.cat(levels, 1)[0, :, : x.shape[-2], : x.shape[-1]]
        return stacked.movedim(0, -1).cpu().numpy()

    return features


def _training_set(
    features: Sequence[NDArray[np.float32]], labels: Sequence[NDArray[np.uint8]]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    xs = np.concatenate([f[y > 0] for f, y in zip(features, labels, strict=True)])
    ys = np.concatenate([y[y > 0] for y in labels])
    if len(np.unique(ys)) < 2:
        raise LimsupError("scribbles", got="fewer than two classes", do="scribble a second class")
    return xs, ys


def _predict_all(model: Any, features: Sequence[NDArray[np.float32]]) -> list[NDArray[np.uint8]]:
    flat = (f.reshape(-1, f.shape[-1]) for f in features)
    return [
        model.predict(x).reshape(f.shape[:2]).astype(np.uint8)
        for x, f in zip(flat, features, strict=True)
    ]


def pixel_classifier(
    classifier: Any,
    extract: FeatureMap,
    train: Sequence[Any],
    labels: Sequence[NDArray[np.uint8]],
    test: Sequence[Any],
) -> list[NDArray[np.uint8]]:
    """Fit a scikit-learn classifier on scribbled pixels; codes 1…K of the ``test`` images."""
    xs, ys = _training_set([extract(a) for a in train], labels)
    return _predict_all(classifier.fit(xs, ys), [extract(a) for a in test])


def nearest_class_mean(
    train: Sequence[NDArray[Any]],
    labels: Sequence[NDArray[np.uint8]],
    test: Sequence[NDArray[Any]],
) -> list[NDArray[np.uint8]]:
    """Each pixel gets the class whose scribbles have the nearest mean colour."""
    from sklearn.neighbors import NearestCentroid

    return pixel_classifier(NearestCentroid(), colour, train, labels, test)


def random_forest(
    train: Sequence[NDArray[Any]],
    labels: Sequence[NDArray[np.uint8]],
    test: Sequence[NDArray[Any]],
    seed: int = 0,
) -> list[NDArray[np.uint8]]:
    """A forest on multi-scale hand-made features, as interactive pixel classifiers use."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        n_estimators=100, max_samples=0.5, min_samples_leaf=2, random_state=seed
    )
    return pixel_classifier(forest, multiscale, train, labels, test)


def logistic_head(
    model: UNet,
    train: Sequence[Tensor],
    labels: Sequence[NDArray[np.uint8]],
    test: Sequence[Tensor],
) -> list[NDArray[np.uint8]]:
    """Logistic regression on all decoder levels of the frozen network."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fit = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
    return pixel_classifier(fit, deep_features(model), train, labels, test)


@torch.no_grad()
def adabn(model: Network, inputs: Sequence[Tensor]) -> Network:
    """Copy of ``model`` whose batch statistics come from ``inputs``; uses no label.

    Notes
    -----
    Source: Li et al. 2018, adaptive batch normalisation.
    """
    model = copy.deepcopy(model).eval()
    norms = [m for m in model.modules() if isinstance(m, NORMS)]
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for x in inputs:
        model(prepare(model, x))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()
