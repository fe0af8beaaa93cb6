"""The demo as a user runs it: own files here, patient and real image in the slow test."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from skimage import io

from limsup_widgets import demo
from limsup_widgets.errors import LimsupError
from limsup_widgets.session.session import Session
from limsup_widgets.teach.results import stored_result

PROMISED = {
    "patient": {
        "id", "dice_before", "dice_after", "dice_per_class_before", "dice_per_class_after",
        "scribbled_pixels", "tune_seconds", "uncertainty_seconds", "mc_passes",
    },
    "real_image": {
        "shape", "agreement_before", "agreement_after", "agreement_random_forest",
    },
}  # fmt: skip


@pytest.fixture
def own_files(tmp_path):
    """A grey image of two textures, and strokes in both."""
    rng = np.random.default_rng(0)
    image = rng.integers(90, 110, (80, 100), dtype=np.uint8)
    image[:, 50:] += rng.integers(60, 120, (80, 50), dtype=np.uint8)
    labels = np.zeros((80, 100), np.uint8)
    labels[20:24, 5:45], labels[50:54, 55:95] = 1, 2
    paths = tmp_path / "own.png", tmp_path / "strokes.png"
    for path, array in zip(paths, (image, labels), strict=True):
        io.imsave(path, array, check_contrast=False)
    return paths


def check_report(folder):
    text = (folder / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', text), "the report loads something"
    pictures = re.findall(r"<img [^>]*>", text)
    assert pictures and all(re.search(r'alt="[^"]{10,}"', p) for p in pictures)
    return text


def test_values_demo_patient_is_the_median():
    dice = {r["patient"]: r["mean"] for r in stored_result("ls02").select(cohort=5000, arm="U0")}
    assert len(dice) == 20
    assert sorted(dice, key=dice.__getitem__)[9] == demo.DEMO_PATIENT


@pytest.mark.slow
def test_values_full_demo(tmp_path):
    result = demo.run_demo(tmp_path)
    assert json.loads((tmp_path / "result.json").read_text()) == result
    for part, keys in PROMISED.items():
        assert keys <= set(result[part]), part
    assert {"device", "seed", "versions"} <= set(result)
    patient, image = result["patient"], result["real_image"]
    assert patient["dice_after"] > patient["dice_before"]
    stored = stored_result("ls02").select(cohort=5000, patient=patient["id"])
    mean = {r["arm"]: r["mean"] for r in stored}
    assert patient["dice_before"] == pytest.approx(mean["U0D"], abs=5e-3)
    assert patient["dice_after"] == pytest.approx(mean["U0D flat"], abs=2e-2)
    assert image["agreement_after"] > image["agreement_before"]
    text = check_report(tmp_path)
    assert "All 20 patients" in text and "random forest" in text
    (folder,) = (tmp_path / "sessions").glob("*/patient")
    with Session.open(folder) as session:
        assert sum((session.labels(i) > 0).sum() for i in range(7)) == patient["scribbled_pixels"]


def test_values_own_image(own_files, tmp_path):
    result = demo.run_demo(tmp_path / "out", *own_files, ["dark", "bright"])
    numbers = result["image"]
    assert numbers["shape"] == [80, 100] and not [k for k in numbers if "dice" in k]
    assert sum(numbers["area_after"]) == pytest.approx(1, abs=1e-3)
    assert numbers["area_after"][0] == pytest.approx(0.5, abs=0.15)
    check_report(tmp_path / "out")


def test_errors_leave_nothing_behind(own_files, tmp_path):
    image, strokes = own_files
    with pytest.raises(LimsupError, match="all three, or none"):
        demo.run_demo(tmp_path / "out", image)
    io.imsave(strokes, np.zeros((80, 100), np.uint8), check_contrast=False)
    with pytest.raises(LimsupError):
        demo.run_demo(tmp_path / "out", image, strokes, ["a", "b"])
    assert not (tmp_path / "out").exists()
