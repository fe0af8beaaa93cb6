import hashlib
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limsup_widgets.data.kidney import (
    CLASSES,
    DIALS,
    PALETTE,
    fresh_controls,
    kidney_cohort,
    render,
    subject_parameters,
)
from limsup_widgets.data.kidney.tissue import signed_distance, smooth_noise, soft
from limsup_widgets.errors import LimsupError

SMALL = (48, 64)
FIELDS = {
    "stain": {"haematoxylin", "pas", "haematoxylin_strength", "pas_strength"},
    "architecture": {"gap", "missing_tubules", "lumen"},
    "inflammation": {"interstitial_nuclei"},
    "density": {"stroma", "epithelium", "membrane", "casts"},
    "sclerosis": {"sclerosis"},
    "blur": {"blur"},
}


def digest(pair):
    return hashlib.sha256(pair[0].tobytes() + pair[1].tobytes()).hexdigest()


def shares(subjects, images):
    truth = np.concatenate([s.truth(i).ravel() for s in subjects for i in images])
    return np.bincount(truth, minlength=5)[1:] / truth.size


def test_shapes_of_the_cohort():
    cohort = kidney_cohort()
    assert [s.id for s in cohort.controls] == [f"c{k:02d}" for k in range(1, 12)]
    assert [s.n_images for s in cohort.controls] == [3] * 10 + [2]
    assert [s.id for s in cohort.patients] == [f"p{k:02d}" for k in range(1, 21)]
    assert {s.n_images for s in cohort.patients} == {10}
    assert cohort.patients[0].tune == range(7) and cohort.patients[0].test == range(7, 10)
    assert [s.n_images for s in fresh_controls(9000)] == [3] * 8
    assert len(CLASSES) == len(PALETTE) == 4


def test_shapes_of_an_image():
    subject = kidney_cohort().patients[3]
    assert subject.image(0).shape == (192, 256, 3) and subject.image(0).dtype == np.uint8
    assert subject.truth(0).shape == (192, 256) and subject.truth(0).dtype == np.uint8
    assert subject.image(0) is subject.image(0)
    with pytest.raises(ValueError, match="read-only"):
        subject.truth(0)[0, 0] = 1


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    severity=st.floats(0, 0.7),
    shape=st.tuples(st.integers(16, 60), st.integers(16, 60)),
)
def test_shapes_of_any_field(seed, severity, shape):
    image, truth = render(subject_parameters("patient", seed, severity), seed, shape)
    assert image.shape == (*shape, 3) and truth.shape == shape
    assert set(np.unique(truth)) <= {1, 2, 3, 4}


def test_equivalence_of_repeated_draws():
    first, second = (kidney_cohort(shape=SMALL).patients[4] for _ in range(2))
    second.image(9)
    assert (first.image(2) == second.image(2)).all()
    assert (first.truth(2) == second.truth(2)).all()


def test_values_differ_between_seeds_subjects_and_images():
    cohort, other = kidney_cohort(5000, shape=SMALL), kidney_cohort(7000, shape=SMALL)
    drawn = [
        cohort.patients[0].image(0),
        cohort.patients[0].image(1),
        cohort.patients[1].image(0),
        cohort.controls[0].image(0),
        other.patients[0].image(0),
    ]
    assert len({image.tobytes() for image in drawn}) == len(drawn)


@pytest.mark.slow
def test_equivalence_between_processes():
    code = (
        "import hashlib\n"
        "from limsup_widgets.data.kidney import kidney_cohort\n"
        f"s = kidney_cohort(shape={SMALL}).patients[2]\n"
        "print(hashlib.sha256(s.image(1).tobytes() + s.truth(1).tobytes()).hexdigest())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    subject = kidney_cohort(shape=SMALL).patients[2]
    assert out.stdout.strip() == digest((subject.image(1), subject.truth(1)))


def test_values_of_the_class_shares():
    cohort = kidney_cohort()
    healthy = shares(cohort.controls, (0, 1))
    ill = shares(cohort.patients[:10], (0,))
    assert np.abs(healthy - (0.34, 0.52, 0.05, 0.09)).max() < 0.06
    assert ill[0] > healthy[0] + 0.05 and ill[1] < healthy[1] - 0.05


def test_values_of_the_colours():
    drawn = (render(subject_parameters("control", 0), seed) for seed in range(9))
    image, truth = next(pair for pair in drawn if (pair[1] == 4).mean() > 0.06)
    light = image.mean(axis=-1)
    border = signed_distance(truth == 4)
    assert np.median(light[border > 8]) > 235
    assert np.median(image[truth == 2, 0]) > np.median(image[truth == 2, 1]) + 30


def test_values_of_the_dials():
    healthy = asdict(subject_parameters("control", 3))
    assert asdict(subject_parameters("patient", 3, 0.6, ())) == healthy
    everything = asdict(subject_parameters("patient", 3, 0.6))
    for dial in DIALS:
        turned = asdict(subject_parameters("patient", 3, 0.6, (dial,)))
        assert {name for name in turned if turned[name] != healthy[name]} == FIELDS[dial]
        assert all(turned[name] == everything[name] for name in FIELDS[dial])


def test_values_at_severity_zero():
    healthy = subject_parameters("control", 8)
    zero = subject_parameters("patient", 8, 0.0)
    for name, value in asdict(zero).items():
        assert value == pytest.approx(getattr(healthy, name)), name


def test_values_of_the_sclerosis_dial():
    solid = subject_parameters("patient", (5000, 1, 5), 0.7, ("sclerosis",))
    assert solid.sclerosis > subject_parameters("control", (5000, 1, 5)).sclerosis


def test_values_of_the_brushes():
    rows, columns = np.indices((41, 41))
    radius = np.hypot(rows - 20, columns - 20)
    distance = signed_distance(radius < 12)
    assert distance[20, 14] == pytest.approx(6, abs=0.7)
    assert distance[20, 38] == pytest.approx(-6, abs=0.7)
    assert soft(np.float32([-1, 0, 1])).tolist() == [0, 0.5, 1]
    for sigma in (0.8, 5, 40):
        noise = smooth_noise(np.random.default_rng(0), (50, 70), sigma)
        assert noise.shape == (50, 70)
        assert noise.mean() == pytest.approx(0, abs=1e-4)
        assert noise.std() == pytest.approx(1, abs=1e-4)


def test_errors():
    cohort = kidney_cohort(controls=1, patients=1, shape=SMALL)
    with pytest.raises(LimsupError, match="image of c01: got 3, expected 0…2"):
        cohort.controls[0].image(3)
    with pytest.raises(LimsupError, match="got p07"):
        cohort.subject("p07")
    with pytest.raises(LimsupError, match="got colour"):
        subject_parameters("patient", 0, 0.5, ("colour",))
    with pytest.raises(LimsupError, match="sides of at least 16"):
        kidney_cohort(shape=(15, 40)).controls[0].image(0)
    with pytest.raises(LimsupError, match="got donor"):
        subject_parameters("donor", 0)


@pytest.mark.parametrize("dial", ["stain", "inflammation", "density", "blur"])
def test_equivalence_of_the_tissue_under_a_dial(dial):
    """Dials of colour and cells leave the anatomy where it is."""
    for seed in range(4):
        before, after = (
            render(subject_parameters("patient", 3, 0.6, dials), seed, (96, 96))
            for dials in ((), (dial,))
        )
        assert (before[1] == after[1]).all()
        assert (before[0] != after[0]).any()
