"""The cohort: 11 controls with 32 masks, 20 patients with 7 images to scribble and 3 to test."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.data.kidney.parameters import DIALS, Parameters, subject_parameters
from limsup_widgets.data.kidney.render import render
from limsup_widgets.errors import LimsupError

CLASSES = ("interstitium", "tubules", "glomeruli", "other")
PALETTE = ((213, 94, 0), (0, 114, 178), (0, 158, 115), (240, 228, 66))
"""RGB of the classes 1…4: the source's red, blue, green and yellow, in Okabe and Ito's tones."""
# fmt: off
SEVERITIES = (0.3, 0.5, 0.6, 0.6, 0.5, 0.7, 0.6, 0.4, 0.5, 0.4,
              0.5, 0.6, 0.4, 0.5, 0.55, 0.5, 0.4, 0.5, 0.5, 0.4)
# fmt: on
_KIND_CODE = {"control": 0, "patient": 1}
Shape = tuple[int, int]


@dataclass(frozen=True)
class Subject:
    """One person: images drawn on demand, the same in every process.

    Parameters
    ----------
    id
        ``"c01"``… for controls, ``"p01"``… for patients.
    kind
        ``"control"`` or ``"patient"``.
    severity
        Size of the shift, 0 for controls.
    n_images
        Images of this subject.
    seed
        Numbers that, with the image's index, seed every draw.
    parameters
        The subject's tissue and stain.
    shape
        ``(H, W)`` of the images.
    """

    id: str
    kind: Literal["control", "patient"]
    severity: float
    n_images: int
    seed: tuple[int, ...]
    parameters: Parameters
    shape: Shape = (192, 256)
    _drawn: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def tune(self) -> range:
        """Images that annotators scribble: all but the last three (0…6 of a patient)."""
        return range(max(0, self.n_images - 3))

    @property
    def test(self) -> range:
        """Images kept for testing: the last three (7…9 of a patient)."""
        return range(max(0, self.n_images - 3), self.n_images)

    def image(self, i: int) -> NDArray[np.uint8]:
        """Image ``i`` as (H, W, 3) uint8, read-only."""
        return self._draw(i)[0]

    def truth(self, i: int) -> NDArray[np.uint8]:
        """Class codes 1…4 of image ``i``, (H, W) uint8, read-only."""
        return self._draw(i)[1]

    def _draw(self, i: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        if not 0 <= i < self.n_images:
            raise LimsupError(f"image of {self.id}", got=i, expected=f"0…{self.n_images - 1}")
        if i not in self._drawn:
            pair = render(self.parameters, (*self.seed, i), self.shape)
            for array in pair:
                array.setflags(write=False)
            self._drawn[i] = pair
        return self._drawn[i]


@dataclass(frozen=True)
class Cohort:
    """Controls and patients of one seed."""

    seed: int
    controls: tuple[Subject, ...]
    patients: tuple[Subject, ...]

    def subject(self, id: str) -> Subject:
        """The subject called ``id``; raises :class:`LimsupError` if there is none."""
        for subject in (*self.controls, *self.patients):
            if subject.id == id:
                return subject
        known = f"c01…c{len(self.controls):02d} or p01…p{len(self.patients):02d}"
        raise LimsupError("subject", got=id, expected=known)


def kidney_cohort(
    seed: int = 5000,
    controls: int = 11,
    patients: int = 20,
    shape: Shape = (192, 256),
    dials: Iterable[str] = DIALS,
    severity: float | None = None,
) -> Cohort:
    """Draw the cohort; images come lazily, at less than a tenth of a second each.

    Parameters
    ----------
    seed
        5000 is the cohort to choose settings on; another seed gives a fresh one.
    controls
        The first ten have three images, the eleventh two: 32, as in the source.
    patients
        Ten images each; severities repeat :data:`SEVERITIES`, which copy the spread of the
        source's Dice and stand for no diagnosis.
    shape
        ``(H, W)``; the default is a tenth of the source's 1920 × 2560.
    dials
        Parts of the patients' shift that act.
    severity
        The same for all patients, in place of :data:`SEVERITIES`.

    Examples
    --------
    >>> cohort = kidney_cohort(controls=1, patients=2)
    >>> cohort.patients[1].id, cohort.patients[1].severity, list(cohort.patients[1].test)
    ('p02', 0.5, [7, 8, 9])
    """
    chosen = tuple(dials)
    healthy = (_subject("control", seed, k, 0.0, 2 if k == 10 else 3, shape, chosen)
               for k in range(controls))  # fmt: skip
    levels = SEVERITIES if severity is None else (severity,)
    ill = (_subject("patient", seed, k, levels[k % len(levels)], 10, shape, chosen)
           for k in range(patients))  # fmt: skip
    return Cohort(seed, tuple(healthy), tuple(ill))


def fresh_controls(seed: int, subjects: int = 8, shape: Shape = (192, 256)) -> tuple[Subject, ...]:
    """New controls with three images each, for held-out evaluation."""
    return kidney_cohort(seed, controls=subjects, patients=0, shape=shape).controls


def _subject(
    kind: Literal["control", "patient"],
    seed: int,
    index: int,
    severity: float,
    n_images: int,
    shape: Shape,
    dials: tuple[str, ...],
) -> Subject:
    key = (seed, _KIND_CODE[kind], index)
    parameters = subject_parameters(kind, key, severity, dials)
    return Subject(f"{kind[0]}{index + 1:02d}", kind, severity, n_images, key, parameters, shape)
