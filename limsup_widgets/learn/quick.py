"""The light pixel classifier that answers a stroke at once, on features of a frozen network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.holdout import balanced_accuracy
from limsup_widgets.learn.infer import device_of
from limsup_widgets.learn.levels import Levels, levels_of

ROOM = 2**28
"""Bytes of cached features; the image used last is kept, whatever its size."""
MOST = 500
"""Scribbled pixels of a class that a fit looks at, at most."""
PENALTY = 0.1
"""scikit-learn's ``C``, as in :func:`~limsup_widgets.learn.rivals.logistic_head`."""
ITERATIONS, TOLERANCE = 100, 1e-3

Codes = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sample:
    """Features ``(n, F)`` of scribbled pixels, their codes ``(n,)``, and the labels they are of."""

    labels: Codes
    features: Floats
    codes: Codes


class QuickClassifier:
    """Multinomial logistic regression on the frozen levels of a network.

    Features are computed once an image; a new stroke then costs a fit on scribbled pixels and one
    product a level. Equal to upsampling all levels, stacking them and calling ``predict_proba``,
    but no map is upsampled before it has shrunk to one channel a class.

    Parameters
    ----------
    model
        Any module ``(N, C, H, W)`` → ``(N, K, H, W)``, on any device. It is not changed; once it
        was tuned, make a new classifier or keep the features of the network as it was.
    room
        Bytes of features to keep; the image used last is kept, whatever its size.

    Examples
    --------
    >>> from limsup_widgets.learn.unet import UNet
    >>> quick, labels = QuickClassifier(UNet()), np.zeros((64, 64), np.uint8)
    >>> labels[5, 5:20], labels[40, 5:20] = 1, 3
    >>> quick.features("image", torch.rand(3, 64, 64))
    >>> quick.fit({"image": labels}, classes=4)
    >>> quick.predict("image").shape
    (4, 64, 64)
    """

    def __init__(self, model: nn.Module, room: int = ROOM) -> None:
        self.model, self.room = model, room
        self._cache: OrderedDict[Hashable, Levels] = OrderedDict()
        self._samples: dict[Hashable, Sample] = {}
        self._fit: LogisticRegression | None = None
        self._weights: tuple[Tensor, Tensor] | None = None

    @property
    def ready(self) -> bool:
        """Whether there has been a fit."""
        return self._weights is not None

    def has(self, key: Hashable) -> bool:
        """Whether the features of ``key`` are there."""
        return key in self._cache

    def forget(self, key: Hashable) -> None:
        """Drop what is known of ``key``; nothing happens where nothing is."""
        self._cache.pop(key, None)
        self._samples.pop(key, None)

    def features(self, key: Hashable, x: Tensor) -> None:
        """Compute and keep the features of ``x (C, H, W)``, normalised; a known key costs nothing.

        A key stands for one input for good: :meth:`forget` it if the input changes.
        """
        if key not in self._cache:
            self._cache[key] = levels_of(self.model, x)
        self._cache.move_to_end(key)
        while len(self._cache) > 1 and sum(f.nbytes for f in self._cache.values()) > self.room:
            self._cache.popitem(last=False)

    def fit(self, labels: Mapping[Hashable, Codes], classes: int) -> None:
        """Fit on the scribbled pixels, from where the last fit ended.

        Parameters
        ----------
        labels
            Codes ``(H, W)`` with 0…K for each key. Features of a key are needed only where its
            labels differ from those of the last fit.
        classes
            K.

        Raises
        ------
        LimsupError
            Fewer than two classes, a code above K, another shape, or features that are missing.
        """
        used = {key: y for key, y in labels.items() if y.any()}
        samples = [self._sample(key, y, classes) for key, y in used.items()]
        codes = np.concatenate([np.empty(0, np.uint8), *(s.codes for s in samples)])
        if len(np.unique(codes)) < 2:
            raise LimsupError("scribbles", got="fewer than two classes", do="scribble a second one")
        kept = _thinned(codes)
        xs, ys = np.concatenate([s.features for s in samples])[kept], codes[kept]
        self._weights = self._regress(xs, ys, classes)

    def predict(self, key: Hashable) -> Floats:
        """Probabilities ``(K, H, W)``; a class without scribbles has 0 everywhere."""
        levels, (coef, intercept) = self._levels(key), self._fitted()
        with torch.no_grad():
            return levels.logits(coef, intercept).softmax(0).cpu().numpy()

    def score(self, labels: Mapping[Hashable, Codes]) -> float:
        """Class-balanced accuracy on the labelled pixels, in 0…1; nan where there are none."""
        found, known = [np.empty(0, np.uint8)], [np.empty(0, np.uint8)]
        coef, intercept = (part.cpu().numpy() for part in self._fitted())
        for key, y in labels.items():
            if y.any():
                rows, cols = np.nonzero(y)
                logits = self._levels(key).at(rows, cols) @ coef.T + intercept
                found.append((logits.argmax(1) + 1).astype(np.uint8))
                known.append(y[rows, cols])
        return balanced_accuracy(np.concatenate(found), np.concatenate(known))

    def _levels(self, key: Hashable) -> Levels:
        if key not in self._cache:
            raise LimsupError(f"features of {key!r}", got="none", do="features(key, x) first")
        self._cache.move_to_end(key)
        return self._cache[key]

    def _fitted(self) -> tuple[Tensor, Tensor]:
        if self._weights is None:
            raise LimsupError("quick answer", got="no fit yet", do="fit(labels, classes) first")
        return self._weights

    def _sample(self, key: Hashable, labels: Codes, classes: int) -> Sample:
        """Features of the scribbled pixels of ``key``, unless its labels are those of before."""
        known = self._samples.get(key)
        if known is not None and np.array_equal(known.labels, labels):
            return known
        levels = self._levels(key)
        if labels.shape != levels.shape:
            raise LimsupError(f"labels of {key!r}", got=labels.shape, expected=levels.shape)
        if int(labels.max()) > classes:
            raise LimsupError(f"labels of {key!r}", got=int(labels.max()), expected=f"0…{classes}")
        flat = np.flatnonzero(labels)
        flat = flat[_thinned(labels.flat[flat])]
        features = levels.at(*np.divmod(flat, labels.shape[1]))
        self._samples[key] = Sample(labels.copy(), features, labels.flat[flat])
        return self._samples[key]

    def _regress(self, xs: Floats, ys: Codes, classes: int) -> tuple[Tensor, Tensor]:
        """``coef (K, F)`` and ``intercept (K,)`` for features as they come."""
        mean, std = xs.mean(0), xs.std(0)
        std = np.where(std > 1e-6, std, 1)
        old = self._fit
        if old is None or old.classes_.tolist() != np.unique(ys).tolist():
            old = LogisticRegression(C=PENALTY, max_iter=ITERATIONS, tol=TOLERANCE, warm_start=True)
        self._fit = old.fit((xs - mean) / std, ys)
        coef, intercept = _all_classes(self._fit, classes)
        coef = coef / std
        parts = coef, intercept - coef @ mean
        device = device_of(self.model)
        first, second = (torch.from_numpy(p.astype(np.float32)).to(device) for p in parts)
        return first, second


def _all_classes(
    fit: LogisticRegression, classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows for all K classes; minus infinity is the logit of one that was not scribbled."""
    coef, intercept = fit.coef_, fit.intercept_
    if len(fit.classes_) == 2:
        coef, intercept = (np.concatenate([-part, part]) for part in (coef / 2, intercept / 2))
    every, bias = np.zeros((classes, coef.shape[1])), np.full(classes, -np.inf)
    every[fit.classes_ - 1], bias[fit.classes_ - 1] = coef, intercept
    return every, bias


def _thinned(codes: Codes) -> NDArray[np.intp]:
    """Indices into ``codes`` of at most ``MOST`` pixels of each class, evenly spaced."""
    kept = []
    for code in np.unique(codes):
        index = np.flatnonzero(codes == code)
        places = np.linspace(0, len(index) - 1, min(MOST, len(index))).astype(int)
        kept.append(index[places])
    return np.concatenate(kept)
