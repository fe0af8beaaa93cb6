"""``limsup demo``: the whole loop on a simulated patient and on a real image, without a display."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from limsup_widgets.data.annotators import annotate, scribble_labels
from limsup_widgets.data.ihc import IHC_CLASSES, ihc_image, ihc_reference
from limsup_widgets.data.image import Image
from limsup_widgets.data.kidney import CLASSES, Subject, kidney_cohort
from limsup_widgets.data.label_files import check_scribbles, read_labels
from limsup_widgets.data.readers import read_image
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn import rivals
from limsup_widgets.learn.adapt import adapt
from limsup_widgets.learn.biomarker import area_fractions
from limsup_widgets.learn.device import best_device, torch_threads
from limsup_widgets.learn.infer import codes
from limsup_widgets.learn.inputs import Normalizer
from limsup_widgets.learn.metrics import agreement, dice_per_class, mean_dice
from limsup_widgets.learn.moments import Moments, mc_moments
from limsup_widgets.learn.tune import TuneSettings, tune_steps
from limsup_widgets.learn.unet import UNet
from limsup_widgets.learn.weights import load_u0

DEMO_PATIENT = "p16"
"""The patient whose untuned Dice is the (lower) median of the cohort, fixed in advance."""
PASSES = 20
FOREIGN_STEPS = 80
"""Steps for classes that U0 has never seen: its head starts from a fit, not from training."""


@dataclass(frozen=True)
class Round:
    """One round of the loop on one image, as arrays ``(H, W)`` and numbers.

    ``scribbles`` lie on ``scribbled``, which is ``image`` itself if none.
    """

    title: str
    image: NDArray[Any]
    classes: tuple[str, ...]
    scribbles: NDArray[np.uint8]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    uncertainty: NDArray[np.float32]
    truth: NDArray[np.uint8] | None = None
    scribbled: NDArray[Any] | None = None
    numbers: dict[str, Any] = field(default_factory=dict)


def _tune(
    network: UNet,
    inputs: Sequence[Tensor],
    labels: Sequence[NDArray[np.uint8]],
    steps: int,
    seed: int,
) -> float:
    """Tune in place with a progress bar; seconds it took."""
    settings = TuneSettings(steps=steps, seed=seed)
    start = time.perf_counter()
    with tqdm(total=steps, desc="tuning", unit="step") as bar:
        for report in tune_steps(network, inputs, labels, settings):
            bar.set_postfix(loss=f"{report.loss:.3f}")
            bar.update()
    return time.perf_counter() - start


def _look(network: UNet, inputs: Sequence[Tensor], seed: int) -> tuple[list[Moments], float]:
    """Moments of every image, and seconds per image."""
    start = time.perf_counter()
    found = [
        mc_moments(network, x, PASSES, seed) for x in tqdm(inputs, "uncertainty", unit="image")
    ]
    return found, (time.perf_counter() - start) / len(found)


def _rounded(values: NDArray[np.floating]) -> list[float | None]:
    return [None if np.isnan(v) else round(float(v), 4) for v in values]


def patient_round(subject: Subject, seed: int = 0) -> Round:
    """Tune U0^D on the patient's seven scribbled images; Dice on the three others, pooled."""
    network = load_u0(dropout=True).to(best_device())
    truths = [subject.truth(i) for i in subject.test]
    labels = [
        scribble_labels(annotate(subject.truth(i), seed=seed + i), subject.truth(i).shape)
        for i in subject.tune
    ]
    prepare = network.card.normalizer
    tests = [prepare(subject.image(i)) for i in subject.test]
    before, _ = _look(network, tests, seed)
    seconds = _tune(network, [prepare(subject.image(i)) for i in subject.tune], labels, 40, seed)
    after, look_seconds = _look(network, tests, seed)
    dice = [
        dice_per_class([codes(m.mean) for m in found], truths, len(CLASSES))
        for found in (before, after)
    ]
    return _patient_result(subject, labels, before, after, dice, (seconds, look_seconds))


def _patient_result(
    subject: Subject,
    labels: Sequence[NDArray[np.uint8]],
    before: Sequence[Moments],
    after: Sequence[Moments],
    dice: Sequence[NDArray[np.float64]],
    seconds: tuple[float, float],
) -> Round:
    fractions = [
        np.mean([area_fractions(c, len(CLASSES)) for c in codes_], axis=0)
        for codes_ in (
            [codes(m.mean) for m in before],
            [codes(m.mean) for m in after],
            [subject.truth(i) for i in subject.test],
        )
    ]
    numbers = {
        "id": subject.id,
        "dice_before": round(mean_dice(dice[0]), 4),
        "dice_after": round(mean_dice(dice[1]), 4),
        "dice_per_class_before": _rounded(dice[0]),
        "dice_per_class_after": _rounded(dice[1]),
        "scribbled_pixels": int(sum((y > 0).sum() for y in labels)),
        "tune_seconds": round(seconds[0], 2),
        "uncertainty_seconds": round(seconds[1], 3),
        "mc_passes": PASSES,
        "area_before": _rounded(fractions[0]),
        "area_after": _rounded(fractions[1]),
        "area_true": _rounded(fractions[2]),
    }
    shown = subject.test[0]
    return Round(
        title=f"Patient {subject.id}: a test image, never scribbled",
        image=subject.image(shown),
        classes=CLASSES,
        scribbles=labels[0],
        scribbled=subject.image(subject.tune[0]),
        before=codes(before[0].mean),
        after=codes(after[0].mean),
        uncertainty=after[0].kind("V"),
        truth=subject.truth(shown),
        numbers=numbers,
    )


def image_round(
    image: Image,
    labels: NDArray[np.uint8],
    classes: Sequence[str],
    reference: NDArray[np.uint8] | None = None,
    seed: int = 0,
) -> Round:
    """Fit a network whose classes U0 has never seen to the scribbles of one image.

    *Before* is the class whose scribbles have the nearest mean colour; the rival is a random forest
    on multi-scale features. Scribbled pixels are left out of every score.
    """
    check_scribbles(labels, len(classes))
    array = image.array
    network, x = _foreign_network(array, labels, len(classes))
    seconds = _tune(network, [x], [labels], FOREIGN_STEPS, seed)
    moments, look_seconds = _look(network, [x], seed)
    results = {
        "before": rivals.nearest_class_mean([array], [labels], [array])[0],
        "after": codes(moments[0].mean),
        "random_forest": rivals.random_forest([array], [labels], [array], seed)[0],
    }
    numbers: dict[str, Any] = {
        "name": image.name,
        "shape": list(array.shape),
        "classes": list(classes),
        "scribbled_pixels": int((labels > 0).sum()),
        "tune_seconds": round(seconds, 2),
        "uncertainty_seconds": round(look_seconds, 3),
        "mc_passes": PASSES,
    }
    for key, predicted in results.items():
        if reference is not None:
            score = agreement(predicted, reference, where=labels == 0)
            numbers[f"agreement_{key}"] = round(score, 4)
        numbers[f"area_{key}"] = _rounded(area_fractions(predicted, len(classes)))
    return Round(
        title=f"Real image: {image.name}",
        image=array,
        classes=tuple(classes),
        scribbles=labels,
        before=results["before"],
        after=results["after"],
        uncertainty=moments[0].kind("V"),
        truth=reference,
        numbers=numbers,
    )


def _foreign_network(
    array: NDArray[Any], labels: NDArray[np.uint8], classes: int
) -> tuple[UNet, Tensor]:
    x = Normalizer.fit([array])(array)
    network = adapt(load_u0(dropout=True), x.shape[0], classes, [x], [labels], refit=True)
    assert isinstance(network, UNet)
    return network.to(best_device()), x


def ihc_round(seed: int = 0) -> Round:
    """The real image that limsup carries, scribbled by the simulated annotator."""
    reference = ihc_reference()
    labels = scribble_labels(annotate(reference, seed=seed), reference.shape)
    return image_round(ihc_image(), labels, IHC_CLASSES, reference, seed)


def own_round(image: Path, scribbles: Path, classes: Sequence[str], seed: int = 0) -> Round:
    """The same on a file that the user brings."""
    picture = read_image(image)
    if picture.axes == "ZYX":
        raise LimsupError(str(image), got="a volume", expected="one plane", do="use limsup open")
    labels = read_labels(scribbles, len(classes), picture.array.shape[:2])
    for note in picture.notes:
        print(note)
    return image_round(picture, labels, classes, seed=seed)


def run_demo(
    out: Path,
    image: Path | None = None,
    scribbles: Path | None = None,
    classes: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Run the loop and write ``report.html`` and ``result.json`` into ``out``.

    Parameters
    ----------
    out
        Folder of the report; made if missing.
    image, scribbles, classes
        An own image, its label image (0 = unlabelled, 1…K) and the names of the K classes; all
        three or none. Without them a simulated patient and a real image are shown.
    seed
        Of scribbles, tuning and dropout.

    Returns
    -------
    dict
        What ``result.json`` holds.

    Raises
    ------
    LimsupError
        A file cannot be read, shapes differ, or fewer than two classes are scribbled.
    """
    from limsup_widgets.report import write_report

    with torch_threads(1):
        if image is not None or scribbles is not None or classes:
            if image is None or scribbles is None or not classes:
                raise LimsupError(
                    "limsup demo",
                    got="only some of --image, --scribbles, --classes",
                    expected="all three, or none",
                )
            rounds = {"image": own_round(image, scribbles, classes, seed)}
        else:
            patient = kidney_cohort().subject(DEMO_PATIENT)
            rounds = {"patient": patient_round(patient, seed), "real_image": ihc_round(seed)}
    result: dict[str, Any] = {key: r.numbers for key, r in rounds.items()}
    result |= {"device": str(best_device()), "seed": seed, "versions": _versions()}
    out.mkdir(parents=True, exist_ok=True)
    (out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    write_report(out / "report.html", list(rounds.values()), result)
    return result


def _versions() -> dict[str, str]:
    names = ("limsup", "torch", "monai", "numpy", "scikit-image", "scikit-learn")
    return {"python": platform.python_version(), **{n: version(n) for n in names}}
