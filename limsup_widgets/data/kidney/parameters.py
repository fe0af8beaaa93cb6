"""What differs between subjects: the mild spread of controls, the dials of a patient."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.errors import LimsupError

DIALS = ("stain", "architecture", "inflammation", "density", "sclerosis", "blur")

HAEMATOXYLIN = (0.65, 0.70, 0.29)
PAS = (0.22, 0.88, 0.42)


@dataclass(frozen=True)
class Parameters:
    """One subject's tissue and stain.

    Optical densities are relative to the stain's strength, lengths in pixels, shares in 0…1.
    """

    haematoxylin: tuple[float, float, float] = HAEMATOXYLIN
    pas: tuple[float, float, float] = PAS
    haematoxylin_strength: float = 1.0
    pas_strength: float = 1.0
    spacing: float = 23.0
    gap: float = 3.1
    missing_tubules: float = 0.04
    lumen: float = 0.42
    casts: float = 0.03
    stroma: float = 0.22
    epithelium: float = 0.58
    membrane: float = 0.75
    interstitial_nuclei: float = 0.004
    sclerosis: float = 0.03
    blur: float = 0.6


def subject_parameters(
    kind: Literal["control", "patient"],
    seed: int | Sequence[int],
    severity: float = 0.0,
    dials: Iterable[str] = DIALS,
) -> Parameters:
    """Draw one subject.

    Parameters
    ----------
    kind
        A control has the spread of healthy tissue; a patient has it too, plus a shift.
    seed
        One subject, one seed. The same seed gives the same draws whatever the dials, so that
        two settings of the dials differ in nothing else.
    severity
        0 (as a control) to 1; the cohort stays below 0.7, where networks still half work.
    dials
        Which parts of the shift act, out of :data:`DIALS`.

    Raises
    ------
    LimsupError
        For an unknown kind or dial.

    Examples
    --------
    >>> healthy = subject_parameters("control", 3)
    >>> subject_parameters("patient", 3, severity=0.6, dials=()) == healthy
    True
    """
    if kind not in ("control", "patient"):
        raise LimsupError("kind of subject", got=kind, expected="control or patient")
    chosen = tuple(dials)
    unknown = sorted(set(chosen) - set(DIALS))
    if unknown:
        raise LimsupError("dial", got=", ".join(unknown), expected=", ".join(DIALS))
    rng = np.random.default_rng(seed)
    healthy = _control(rng)
    if kind == "control":
        return healthy
    return _shift(healthy, rng, severity, chosen)


def _control(rng: np.random.Generator) -> Parameters:
    base = Parameters()

    def jitter(value: float, relative: float) -> float:
        return value * math.exp(rng.normal(0, relative))

    return replace(
        base,
        haematoxylin=_turn(base.haematoxylin, rng.normal(0, 0.07), rng),
        pas=_turn(base.pas, rng.normal(0, 0.07), rng),
        haematoxylin_strength=jitter(base.haematoxylin_strength, 0.14),
        pas_strength=jitter(base.pas_strength, 0.14),
        gap=jitter(base.gap, 0.15),
        spacing=jitter(base.spacing, 0.06),
        lumen=jitter(base.lumen, 0.12),
        stroma=jitter(base.stroma, 0.2),
        epithelium=jitter(base.epithelium, 0.08),
        membrane=jitter(base.membrane, 0.1),
    )


def _shift(
    healthy: Parameters, rng: np.random.Generator, s: float, dials: tuple[str, ...]
) -> Parameters:
    """Add ``s`` times a uniform draw per property; draws do not depend on ``dials``."""
    p = healthy
    turned_h = _turn(p.haematoxylin, s * rng.uniform(0.05, 0.25), rng)
    turned_p = _turn(p.pas, s * rng.uniform(0.05, 0.30), rng)
    stronger_h = math.exp(s * rng.uniform(-0.35, 0.35))
    stronger_p = math.exp(s * rng.uniform(-0.4, 0.4))
    changes: dict[str, dict[str, Any]] = {
        "stain": {
            "haematoxylin": turned_h,
            "pas": turned_p,
            "haematoxylin_strength": p.haematoxylin_strength * stronger_h,
            "pas_strength": p.pas_strength * stronger_p,
        },
        "architecture": {
            "gap": p.gap + s * rng.uniform(0, 7),
            "missing_tubules": p.missing_tubules + s * rng.uniform(0, 0.3),
            "lumen": p.lumen * (1 + s * rng.uniform(-0.5, 0.4)),
        },
        "inflammation": {
            "interstitial_nuclei": p.interstitial_nuclei + s * rng.uniform(0, 0.02),
        },
        "density": {
            "stroma": p.stroma + s * rng.uniform(0, 0.14),
            "epithelium": p.epithelium - s * rng.uniform(0, 0.08),
            "membrane": p.membrane - s * rng.uniform(0, 0.22),
            "casts": p.casts + s * rng.uniform(0, 0.4),
        },
        "sclerosis": {"sclerosis": p.sclerosis + s * rng.uniform(0, 0.7)},
        "blur": {"blur": p.blur + s * rng.uniform(0, 0.6)},
    }
    return replace(p, **{name: value for dial in dials for name, value in changes[dial].items()})


def _turn(
    vector: tuple[float, float, float], angle: float, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Turn a stain vector by ``angle`` radians towards a random direction; absorbs stay ≥ 0."""
    v = np.asarray(vector) / np.linalg.norm(vector)
    across = rng.normal(size=3)
    across -= across @ v * v
    across /= np.linalg.norm(across)
    turned: NDArray[np.float64] = np.clip(v * np.cos(angle) + across * np.sin(angle), 0.02, None)
    red, green, blue = (turned / np.linalg.norm(turned) * np.linalg.norm(vector)).tolist()
    return red, green, blue
