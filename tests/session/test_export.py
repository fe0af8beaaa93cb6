"""Accepted results as other programs read them."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from session_cases import CLASSES, QUICK, halves, scribble, tiny

from limsup_widgets.data.image import Image
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.weights import load_model, model_sha256
from limsup_widgets.session import Session
from limsup_widgets.session.export import write_like


def test_values(tmp_path: Path) -> None:
    """Labels are what is seen: the prediction with the scribbles on top."""
    with Session(
        [halves(0), halves(1)], CLASSES, model=tiny(), folder=tmp_path, settings=QUICK, passes=2
    ) as session:
        scribble(session)
        session.tune(progress=False)
        folder = session.accept()
        labels = tifffile.imread(folder / "image0.labels.tif")
        painted = session.labels(0) > 0
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels[painted], session.labels(0)[painted])
        np.testing.assert_array_equal(labels[~painted], session.codes(0)[~painted])
        unsure = tifffile.imread(folder / "image1.uncertainty.tif")
        assert unsure.dtype == np.float32
        np.testing.assert_array_equal(unsure, session.uncertainty(1))
        assert model_sha256(load_model(folder / "model.safetensors")) == session.model_sha256
        rows = list(csv.DictReader((folder / "fractions.csv").open()))
        assert [(r["image"], r["class"], r["code"]) for r in rows] == [
            (f"image{i}", name, str(code)) for i in (0, 1) for code, name in enumerate(CLASSES, 1)
        ]
        assert sum(float(r["fraction"]) for r in rows[:2]) == pytest.approx(1)
        assert int(rows[0]["pixels"]) == (labels == 1).sum()
        assert session.history()[-1].data["images"] == [0, 1]
        assert not list(folder.glob("*.part*"))


def test_values_of_some_images(tmp_path: Path) -> None:
    with Session([halves(0), halves(1)], CLASSES, model=tiny(), folder=tmp_path) as session:
        folder = session.accept([1])
    assert sorted(path.name for path in folder.iterdir()) == [
        "fractions.csv",
        "image1.labels.tif",
        "image1.uncertainty.tif",
        "model.safetensors",
    ]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_roundtrip_of_the_affine(tmp_path: Path, axis: int) -> None:
    """Labels of a plane lie in space where the plane lies in its volume."""
    rng = np.random.default_rng(0)
    affine = np.array([[2.0, 0.1, 0, -9], [0, 3, 0, 5], [0.2, 0, 4, 7], [0, 0, 0, 1]])
    volume = Image.from_array(
        rng.integers(0, 255, (4, 5, 6), dtype=np.uint8), "scan", axes="ZYX", affine=affine
    )
    plane = volume.planes(axis)[2]
    path = write_like(tmp_path / "p.labels", np.ones(plane.shape, np.uint8), plane)
    written = nib.load(path)
    assert path.name == "p.labels.nii.gz" and written.shape == (*plane.shape[::-1], 1)
    index = [0, 0, 0]
    index[2 - axis] = 2
    for at, there in ((0, 0), (3, 2)):
        corner = list(index)
        free = [i for i in range(3) if i != 2 - axis]
        corner[free[0]], corner[free[1]] = at, there
        np.testing.assert_allclose(
            written.affine @ [at, there, 0, 1], affine @ [*corner, 1], atol=1e-5
        )


def test_roundtrip_of_a_volume(tmp_path: Path) -> None:
    """A volume that was worked on plane by plane is one file again."""
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    stack = np.stack([halves(i)[..., 0] for i in range(3)])
    volume = Image.from_array(stack, "my scan", axes="ZYX", affine=affine)
    with Session(
        volume, CLASSES, model=tiny(in_channels=1), folder=tmp_path, settings=QUICK, passes=2
    ) as session:
        session.paint([5], 2, image=1)
        folder = session.accept()
        written = nib.load(folder / "my_scan.labels.nii.gz")
        np.testing.assert_array_equal(written.affine, affine)
        codes = np.asarray(written.dataobj)
        assert codes.shape == (64, 64, 3) and codes.dtype == np.uint8
        assert codes[5, 0, 1] == 2
        np.testing.assert_array_equal(codes[:, :, 2].T, session.codes(2))
        unsure = np.asarray(nib.load(folder / "my_scan.uncertainty.nii.gz").dataobj)
        np.testing.assert_array_equal(unsure[:, :, 0].T, session.uncertainty(0))
        session.accept([2])
        assert (folder / "my_scan_z002.labels.nii.gz").is_file()


def test_values_of_names(tmp_path: Path) -> None:
    """Two images of one name do not overwrite each other, nor can a name leave the folder."""
    images = [Image.from_array(halves(i), "../a b") for i in range(2)]
    with Session(images, CLASSES, model=tiny(), folder=tmp_path / "s", passes=2) as session:
        folder = session.accept()
    names = sorted(path.name for path in folder.glob("*.labels.tif"))
    assert names == [".._a_b-0.labels.tif", ".._a_b-1.labels.tif"]


def test_errors(tmp_path: Path) -> None:
    with Session(halves(), CLASSES, model=tiny(), folder=tmp_path / "s", passes=2) as session:
        (tmp_path / "s" / "accepted").write_text("in the way")
        with pytest.raises(LimsupError, match="accepted: got File exists"):
            session.accept()
        with pytest.raises(LimsupError, match="image: got 4"):
            session.accept([4])
    with (
        Session(halves()[..., 0], CLASSES, model=tiny(), folder=tmp_path / "t") as session,
        pytest.raises(LimsupError, match="scribble two classes and tune"),
    ):
        session.accept()
