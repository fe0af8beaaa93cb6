"""``limsup demo``: the whole loop on a simulated patient and on a real image, without a display."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from limsup_widgets.data.annotators import annotate, annotate_subject, scribble_labels
from limsup_widgets.data.ihc import IHC_CLASSES, ihc_image, ihc_reference
from limsup_widgets.data.image import Image
from limsup_widgets.data.kidney import CLASSES, Subject, kidney_cohort
from limsup_widgets.data.label_files import check_scribbles, read_labels
from limsup_widgets.data.readers import read_image
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn import rivals
from limsup_widgets.learn.biomarker import area_fractions, conformal_halfwidth
from limsup_widgets.learn.device import best_device
from limsup_widgets.learn.infer import codes
from limsup_widgets.learn.metrics import agreement, dice_per_class, mean_dice
from limsup_widgets.learn.moments import Moments
from limsup_widgets.session.session import Session
from limsup_widgets.teach.results import stored_result

DEMO_PATIENT = "p01"
"""The patient with the (lower) median Dice of U0 over the cohort, fixed in advance."""

Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Round:
    """One round of the loop on one image, as arrays ``(H, W)`` and numbers.

    ``scribbles`` lie on ``scribbled``, which is ``image`` itself if none.
    """

    title: str
    image: NDArray[Any]
    classes: tuple[str, ...]
    scribbles: Codes
    before: Codes
    after: Codes
    uncertainty: NDArray[np.float32]
    truth: Codes | None = None
    scribbled: NDArray[Any] | None = None
    numbers: dict[str, Any] = field(default_factory=dict)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Result of ``work`` and the seconds it took."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def look(session: Session, images: Sequence[int]) -> tuple[list[Moments], float]:
    """Moments of every image, and seconds per image."""
    bar = tqdm(images, "uncertainty", unit="image")
    found, seconds = timed(lambda: [session.moments(i) for i in bar])
    return found, seconds / len(found)


def rounded(values: NDArray[np.floating]) -> list[float | None]:
    """Numbers for the result file, None where there is none."""
    return [None if np.isnan(v) else round(float(v), 4) for v in values]


def mean_area(images: Sequence[Codes], classes: int) -> list[float | None]:
    """Area fraction of each class, mean over images."""
    return rounded(np.mean([area_fractions(c, classes) for c in images], axis=0))


def area_halfwidth(patient: str, coverage: float = 0.9) -> float:
    """Half-width of the interval of a tuned patient's interstitial area, mean of three images.

    Calibrated on the *other* patients of the stored cohort under the same recipe (chapter ls03):
    it holds for such patients and no others.
    """
    rows = stored_result("ls03").select(cohort=5000, arm="U0D flat")
    errors: dict[str, list[float]] = {}
    for row in rows:
        if row["subject"] != patient:
            error = float(row["area"] or 0) - float(row["true area"] or 0)
            errors.setdefault(str(row["subject"]), []).append(error)
    return conformal_halfwidth([float(np.mean(e)) for e in errors.values()], coverage)


def patient_round(subject: Subject, folder: Path, seed: int = 0) -> Round:
    """Tune on the patient's seven scribbled images; Dice on the three others, pixels pooled."""
    tests = list(subject.test)
    truths = [subject.truth(i) for i in tests]
    images = [Image.from_array(subject.image(i), f"{subject.id}_{i}") for i in range(10)]
    known = [subject.truth(i) if i in tests else None for i in range(10)]
    with Session(
        images, CLASSES, truths=known, folder=folder, seed=seed, name=f"patient {subject.id}"
    ) as session:
        for stroke in annotate_subject(subject):
            session.add_stroke(stroke)
        before, _ = look(session, tests)
        _, tune_seconds = timed(session.tune)
        after, look_seconds = look(session, tests)
        session.accept()
        scribbled = [session.labels(i) for i in subject.tune]
    predicted = [[codes(m.mean) for m in found] for found in (before, after)]
    dice = [dice_per_class(p, truths, len(CLASSES)) for p in predicted]
    numbers = {
        "id": subject.id,
        "dice_before": round(mean_dice(dice[0]), 4),
        "dice_after": round(mean_dice(dice[1]), 4),
        "dice_per_class_before": rounded(dice[0]),
        "dice_per_class_after": rounded(dice[1]),
        "scribbled_pixels": int(sum((y > 0).sum() for y in scribbled)),
        "tune_seconds": round(tune_seconds, 2),
        "uncertainty_seconds": round(look_seconds, 3),
        "mc_passes": after[0].passes,
        "area_before": mean_area(predicted[0], len(CLASSES)),
        "area_after": mean_area(predicted[1], len(CLASSES)),
        "area_true": mean_area(truths, len(CLASSES)),
        "area_halfwidth": round(area_halfwidth(subject.id), 4),
    }
    return Round(
        title=f"Patient {subject.id}: a test image, never scribbled",
        image=subject.image(tests[0]),
        classes=CLASSES,
        scribbles=scribbled[0],
        scribbled=subject.image(subject.tune[0]),
        before=predicted[0][0],
        after=predicted[1][0],
        uncertainty=after[0].kind("V"),
        truth=truths[0],
        numbers=numbers,
    )


def image_round(
    image: Image,
    labels: Codes,
    classes: Sequence[str],
    folder: Path,
    reference: Codes | None = None,
    seed: int = 0,
) -> Round:
    """Tune a network on the scribbles of one image, whatever its classes.

    *Before* is the class whose scribbles have the nearest mean colour; the rival is a random forest
    on multi-scale features. Scribbled pixels are left out of every score.
    """
    check_scribbles(labels, len(classes))
    with Session([image], classes, folder=folder, seed=seed, name=image.name) as session:
        session.import_labels(labels)
        _, tune_seconds = timed(session.tune)
        (moments,), look_seconds = look(session, [0])
        session.accept()
    array = image.array
    results = {
        "before": rivals.nearest_class_mean([array], [labels], [array])[0],
        "after": codes(moments.mean),
        "random_forest": rivals.random_forest([array], [labels], [array], seed)[0],
    }
    numbers: dict[str, Any] = {
        "name": image.name,
        "shape": list(array.shape),
        "classes": list(classes),
        "scribbled_pixels": int((labels > 0).sum()),
        "tune_seconds": round(tune_seconds, 2),
        "uncertainty_seconds": round(look_seconds, 3),
        "mc_passes": moments.passes,
    }
    for key, predicted in results.items():
        if reference is not None:
            numbers[f"agreement_{key}"] = round(agreement(predicted, reference, labels == 0), 4)
        numbers[f"area_{key}"] = mean_area([predicted], len(classes))
    return Round(
        title=f"Real image: {image.name}",
        image=array,
        classes=tuple(classes),
        scribbles=labels,
        before=results["before"],
        after=results["after"],
        uncertainty=moments.kind("V"),
        truth=reference,
        numbers=numbers,
    )


def ihc_round(folder: Path, seed: int = 0) -> Round:
    """The real image that limsup carries, scribbled by the simulated annotator."""
    reference = ihc_reference()
    labels = scribble_labels(annotate(reference, seed=seed), reference.shape)
    return image_round(ihc_image(), labels, IHC_CLASSES, folder, reference, seed)


def own_round(
    image: Path, scribbles: Path, classes: Sequence[str], folder: Path, seed: int = 0
) -> Round:
    """The same on a file that the user brings."""
    picture = read_image(image)
    if picture.axes == "ZYX":
        raise LimsupError(
            str(image), got="a volume", expected="one plane", do=f"use limsup open {image}"
        )
    labels = read_labels(scribbles, len(classes), picture.array.shape[:2])
    for note in picture.notes:
        print(note)
    return image_round(picture, labels, classes, folder, seed=seed)


def run_demo(
    out: Path,
    image: Path | None = None,
    scribbles: Path | None = None,
    classes: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Run the loop and write ``report.html`` and ``result.json`` into ``out``.

    Every round is also left as a session in ``out/sessions``, to be opened and gone on with.

    Parameters
    ----------
    out
        Folder of the report; made if missing.
    image, scribbles, classes
        An own image, its label image (0 = unlabelled, 1…K) and the names of the K classes; all
        three or none. Without them a simulated patient and a real image are shown.
    seed
        Of scribbles on the real image, of tuning and of dropout.

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

    sessions = out / "sessions" / time.strftime("%Y%m%d-%H%M%S")
    if image is not None or scribbles is not None or classes:
        if image is None or scribbles is None or not classes:
            raise LimsupError(
                "limsup demo",
                got="only some of --image, --scribbles, --classes",
                expected="all three, or none",
            )
        rounds = {"image": own_round(image, scribbles, classes, sessions / "image", seed)}
    else:
        patient = kidney_cohort().subject(DEMO_PATIENT)
        rounds = {
            "patient": patient_round(patient, sessions / "patient", seed),
            "real_image": ihc_round(sessions / "real_image", seed),
        }
    result: dict[str, Any] = {key: r.numbers for key, r in rounds.items()}
    result |= {"device": str(best_device()), "seed": seed, "versions": versions()}
    (out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    write_report(out / "report.html", list(rounds.values()), result)
    return result


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    names = ("limsup", "torch", "monai", "numpy", "scikit-image", "scikit-learn")
    return {"python": platform.python_version(), **{n: version(n) for n in names}}
