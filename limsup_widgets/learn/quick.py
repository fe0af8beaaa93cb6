"""The light pixel classifier that answers a stroke at once, on features of a frozen network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.adapt import with_channels
from limsup_widgets.learn.holdout import balanced_accuracy
from limsup_widgets.learn.levels import Levels, levels_of
from limsup_widgets.learn.logistic import Logistic, fit_logistic

ROOM = 2**28
"""Bytes of cached features; the image used last is kept, whatever its size."""
MOST = 500
"""Scribbled pixels of a class that a fit looks at, at most."""
DEEP = 0.3
"""Weight of the levels of a network that does not know the classes, beside that of filters."""

Codes = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sample:
    """Labels, of their scribbled pixels features, own answers and codes; moments of the image."""

    labels: Codes
    features: Floats
    own: Floats
    codes: Codes
    moments: Floats


class QuickClassifier:
    """Logistic regression on the frozen levels of a network, as a correction of its own answer.

    Features are computed once an image; a new stroke then costs a fit on scribbled pixels and one
    product a level. Equal to upsampling all levels, stacking them and classifying every pixel, but
    no map is upsampled before it has shrunk to one channel a class.

    Parameters
    ----------
    model
        Any module ``(N, C, H, W)`` → ``(N, K, H, W)``, on any device. It is not changed, and must
        not be by others while its features are in use.
    knows
        Whether its outputs are the classes that are scribbled. If so, the fit corrects the
        network's own answer, and the ridge pulls the correction to none. If not, or if there are
        more or fewer outputs, it starts from nothing; then hand-made filters at five scales stand
        beside the network's levels, which count for ``DEEP`` of them, and a module for other
        channels is widened as by :func:`~limsup_widgets.learn.adapt.with_channels`.
    room
        Bytes of features to keep; the image used last is kept, whatever its size.

    Notes
    -----
    Chosen by ``results/quick.json`` (``python results/quick.py``): ten simulated patients, mean
    Dice on scribbled images after one stroke a class in one image, three in one, five in two, and
    five in seven:

    ==============================  ====  ====  ====  ====
    network, untuned                 .79   .79   .73   .73
    correction, levels (this)        .81   .84   .84   .84
    correction, levels and filters   .81   .84   .85   .87
    free regression, levels          .71   .79   .84   .84
    forest on levels                 .64   .80   .85   .84
    forest on filters                .47   .60   .64   .65
    ==============================  ====  ====  ====  ====

    Filters nearly triple the seconds for features, so they are left out where the network knows the
    classes. Tuning the network gets further than any of these (``results/ls02.json``).

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

    def __init__(self, model: nn.Module, knows: bool = True, room: int = ROOM) -> None:
        self.model, self.knows, self.room = model, knows, room
        self._cache: OrderedDict[Hashable, Levels] = OrderedDict()
        self._order: dict[Hashable, int] = {}
        self._samples: dict[Hashable, Sample] = {}
        self._fit: Logistic | None = None
        self._widened: nn.Module | None = None
        self._filters = 0

    @property
    def ready(self) -> bool:
        """Whether there has been a fit."""
        return self._fit is not None

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
            levels = levels_of(self._module(x), x, filters=not self.knows)
            self._cache[key], self._filters = levels, levels.maps[-1].shape[1]
        self._cache.move_to_end(key)
        while len(self._cache) > 1 and sum(f.nbytes for f in self._cache.values()) > self.room:
            # The first of those that are worth least, so the one that has lain longest.
            others = (k for k in self._cache if k != key)
            del self._cache[max(others, key=lambda k: self._order.get(k, len(self._order)))]

    def prefer(self, keys: Sequence[Hashable]) -> None:
        """Say whose features to keep where there is no room for all: the first are worth most.

        Without a preference, those used last stay.
        """
        self._order = {key: place for place, key in enumerate(dict.fromkeys(keys))}

    @property
    def full(self) -> bool:
        """Whether one more input, as large as the largest, has no room beside those preferred."""
        largest = max((f.nbytes for f in self._cache.values()), default=0)
        preferred = sum(f.nbytes for key, f in self._cache.items() if key in self._order)
        return preferred + largest > self.room

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
        kept = thinned(codes)
        xs, own = (np.concatenate(part)[kept] for part in
                   ([s.features for s in samples], [s.own for s in samples]))  # fmt: skip
        scale = image_scale([s.moments for s in samples])
        self._fit = self._regress(xs, own, codes[kept], classes, scale)

    def learn(self, key: Hashable, labels: Codes, classes: int) -> None:
        """Take what a fit needs of one key now; its features may be dropped afterwards.

        So that the keys of one fit need not all be in memory at once.
        """
        self._sample(key, labels, classes)

    def has_learnt(self, key: Hashable, labels: Codes) -> bool:
        """Whether a fit on these labels of ``key`` needs its features no more."""
        known = self._samples.get(key)
        return known is not None and np.array_equal(known.labels, labels)

    def predict(self, key: Hashable) -> Floats:
        """Probabilities ``(K, H, W)``.

        A class without scribbles has 0 everywhere where the network does not know it.
        """
        levels, fit = self._levels(key), self._fitted()
        with torch.no_grad():
            return levels.logits(fit).softmax(0).cpu().numpy()

    def score(self, labels: Mapping[Hashable, Codes]) -> float:
        """Class-balanced accuracy on the labelled pixels, in 0…1; nan where there are none."""
        found, known, fit = [np.empty(0, int)], [np.empty(0, int)], self._fitted()
        for key, y in labels.items():
            if y.any():
                rows, cols = np.nonzero(y)
                found.append(fit.logits(*self._levels(key).at(rows, cols)).argmax(1) + 1)
                known.append(y[rows, cols])
        return balanced_accuracy(np.concatenate(found), np.concatenate(known))

    def _module(self, x: Tensor) -> nn.Module:
        """The network, for the channels of ``x`` where it is for other classes anyway."""
        if self.knows:
            return self.model
        if self._widened is None:
            self._widened = with_channels(self.model, x.shape[0])
        return self._widened

    def _levels(self, key: Hashable) -> Levels:
        if key not in self._cache:
            raise LimsupError(f"features of {key!r}", got="none", do="features(key, x) first")
        self._cache.move_to_end(key)
        return self._cache[key]

    def _fitted(self) -> Logistic:
        if self._fit is None:
            raise LimsupError("quick answer", got="no fit yet", do="fit(labels, classes) first")
        return self._fit

    def _sample(self, key: Hashable, labels: Codes, classes: int) -> Sample:
        """Features of the scribbled pixels of ``key``, unless its labels are those of before."""
        if self.has_learnt(key, labels):
            return self._samples[key]
        levels = self._levels(key)
        if labels.shape != levels.shape:
            raise LimsupError(f"labels of {key!r}", got=labels.shape, expected=levels.shape)
        if int(labels.max()) > classes:
            raise LimsupError(f"labels of {key!r}", got=int(labels.max()), expected=f"0…{classes}")
        flat = np.flatnonzero(labels)
        flat = flat[thinned(labels.flat[flat])]
        found = levels.at(*np.divmod(flat, labels.shape[1]))
        self._samples[key] = Sample(labels.copy(), *found, labels.flat[flat], levels.moments())
        return self._samples[key]

    def _regress(
        self, xs: Floats, own: Floats, codes: Codes, classes: int, scale: tuple[Floats, Floats]
    ) -> Logistic:
        if self.knows and own.shape[1] == classes:
            return fit_logistic(xs, codes, classes, own, scale, self._fit)
        if not self.knows:
            scale[1][: -self._filters] /= DEEP
        return fit_logistic(xs, codes, classes, None, scale, self._fit)


def image_scale(moments: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Mean and standard deviation ``(F,)`` over several images, from each one's moments.

    Features are standardised by the images, not by the scribbled pixels: what hardly varies along
    a few strokes may vary much elsewhere, and would be blown up there.
    """
    mean, square = np.mean(moments, axis=0)
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


def thinned(codes: Codes) -> NDArray[np.intp]:
    """Indices into ``codes`` of at most ``MOST`` pixels of each class, evenly spaced."""
    kept = []
    for code in np.unique(codes):
        index = np.flatnonzero(codes == code)
        places = np.linspace(0, len(index) - 1, min(MOST, len(index))).astype(int)
        kept.append(index[places])
    return np.concatenate(kept)
