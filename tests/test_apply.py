"""`limsup apply`: the same labels as one image at a time, and no bad file stops the rest."""

import csv
from functools import partial

import nibabel
import numpy as np
import pytest
import tifffile
import torch
from made_files import write_series
from PIL import Image as Pillow

from limsup_widgets import apply as apply_module
from limsup_widgets.apply import apply_model
from limsup_widgets.cli import main
from limsup_widgets.data.readers import read_image
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.moments import mc_moments
from limsup_widgets.learn.unet import UNet
from limsup_widgets.learn.weights import ModelCard, load_model, save_model

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 28)).astype(np.uint8)
RGB = RNG.integers(0, 256, (20, 28, 3)).astype(np.uint8)
VOLUME = RNG.integers(0, 256, (3, 20, 28)).astype(np.uint8)
AFFINE = np.diag([2.0, 3.0, 4.0, 1.0])


def make_model(path, channels, p_drop=0.2):
    """A small untrained network of three classes."""
    torch.manual_seed(0)
    drop = {"p_drop": p_drop} if p_drop else {}
    network = UNet(in_channels=channels, classes=3, widths=(4, 4, 8, 8), **drop)
    card = ModelCard("toy", ("a", "b", "c"), (0.5,) * channels, (0.25,) * channels)
    return save_model(path, network, card)


@pytest.fixture(scope="module")
def grey_model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model") / "grey.safetensors", 1)


def rows(out):
    with (out / "areas.csv").open(encoding="utf-8", newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


@pytest.fixture
def folder(tmp_path):
    """A flat image, a volume with an affine, a DICOM series, two files of one name, a text."""
    images = tmp_path / "images"
    images.mkdir()
    Pillow.fromarray(GREY).save(images / "one.png")
    nibabel.save(nibabel.Nifti1Image(VOLUME.T, AFFINE), images / "scan.nii.gz")
    write_series(images / "ct", VOLUME.astype(np.int16))
    Pillow.fromarray(GREY).save(images / "twin.png")
    tifffile.imwrite(images / "twin.tif", 255 - GREY)
    (images / "broken.png").write_text("no image")
    (images / "notes.txt").write_text("not looked at")
    return images


def test_equivalence_one_image_at_a_time(tmp_path, folder, grey_model):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    summary = apply_model(grey_model, folder, tmp_path / "out", passes=3, seed=1)
    assert (summary.done, summary.failed) == (5, 1)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    network = load_model(grey_model)
    x = network.card.normalizer(GREY)
    labels = tifffile.imread(tmp_path / "out" / "one.labels.tif")
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, codes(predict(network, x)))
    uncertainty = tifffile.imread(tmp_path / "out" / "one.uncertainty.tif")
    assert uncertainty.dtype == np.float32
    assert np.allclose(uncertainty, mc_moments(network, x, 3, 1).kind("V"), atol=1e-6)

    row = rows(tmp_path / "out")["one.png"]
    assert row["status"] == "ok"
    assert [float(row[c]) for c in "abc"] == pytest.approx(
        [np.mean(labels == code) for code in (1, 2, 3)], abs=1e-6
    )
    assert float(row["mean_uncertainty"]) == pytest.approx(uncertainty.mean(), abs=1e-5)
    assert row["passes"] == "3"


def test_roundtrip_volumes_keep_their_place(tmp_path, folder, grey_model):
    apply_model(grey_model, folder, tmp_path / "out", passes=2)
    network = load_model(grey_model)
    expected = np.stack([codes(predict(network, network.card.normalizer(p))) for p in VOLUME])
    for kind, dtype in (("labels", np.uint8), ("uncertainty", np.float32)):
        stored = nibabel.load(tmp_path / "out" / f"scan.{kind}.nii.gz")
        assert stored.get_data_dtype() == dtype
        assert np.array_equal(stored.affine, AFFINE)
        assert stored.shape == (28, 20, 3)
    labels = nibabel.load(tmp_path / "out" / "scan.labels.nii.gz")
    assert np.array_equal(np.asarray(labels.dataobj), expected.T)
    series = nibabel.load(tmp_path / "out" / "ct.labels.nii.gz")
    assert np.allclose(nibabel.affines.voxel_sizes(series.affine), (0.75, 0.5, 2.5))


def test_values_names_and_failures(tmp_path, folder, grey_model, capsys):
    apply_model(grey_model, folder, tmp_path / "out", passes=1)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"twin.png.labels.tif", "twin.tif.labels.tif", "areas.csv"} <= written
    assert not any(name.startswith(("broken", "notes")) for name in written)
    broken = rows(tmp_path / "out")["broken.png"]
    assert "broken.png" in broken["status"]
    assert broken["a"] == broken["pixels"] == ""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in lines if line.startswith("limsup: ")]) == 1


def test_values_without_dropout(tmp_path, folder):
    model = make_model(tmp_path / "plain.safetensors", 1, p_drop=0)
    apply_model(model, folder, tmp_path / "out")
    prob = predict(load_model(model), load_model(model).card.normalizer(GREY))
    uncertainty = tifffile.imread(tmp_path / "out" / "one.uncertainty.tif")
    assert np.allclose(uncertainty, (prob * (1 - prob)).sum(0), atol=1e-6)
    assert rows(tmp_path / "out")["one.png"]["passes"] == "1"


def test_errors_earlier_results_are_kept(tmp_path, folder, grey_model):
    out = tmp_path / "out"
    apply_model(grey_model, folder, out, passes=1)
    (out / "areas.csv").write_text("mine")
    with pytest.raises(LimsupError, match=r"earlier results.*--overwrite"):
        apply_model(grey_model, folder, out, passes=1)
    assert (out / "areas.csv").read_text() == "mine"
    (folder / "one.png").write_text("now broken")
    assert apply_model(grey_model, folder, out, passes=1, overwrite=True).failed == 2
    assert not (out / "one.labels.tif").exists()
    assert (out / "areas.csv").read_text() != "mine"


def test_errors_target_and_channels(tmp_path, folder, grey_model):
    with pytest.raises(LimsupError, match="the folder of the images"):
        apply_model(grey_model, folder, folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(LimsupError, match="got a file"):
        apply_model(grey_model, folder, tmp_path / "file")
    Pillow.fromarray(RGB).save(folder / "colour.png")
    apply_model(grey_model, folder, tmp_path / "out", passes=1)
    status = rows(tmp_path / "out")["colour.png"]["status"]
    assert "colour.png: got 3 channel(s), expected 1" in status


def test_errors_out_of_memory_is_a_row(tmp_path, folder, grey_model, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(apply_module, "label_image", full)
    summary = apply_model(grey_model, folder, tmp_path / "out")
    assert summary.done == 0
    assert "no room" in rows(tmp_path / "out")["one.png"]["status"]


def test_cancel_keeps_the_rows_so_far(tmp_path, folder, grey_model, monkeypatch, capsys):
    original, seen = apply_module.label_image, []

    def stop_at_second(*args):
        seen.append(args)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(apply_module, "label_image", stop_at_second)
    with pytest.raises(SystemExit) as end:
        main(["apply", str(grey_model), str(folder), "--out", str(tmp_path / "out")])
    assert end.value.code == 130
    assert capsys.readouterr().err.strip().endswith("limsup: stopped")
    assert sum(row["status"] == "ok" for row in rows(tmp_path / "out").values()) == 1


@pytest.mark.parametrize(("broken", "code"), [(False, 0), (True, 2)])
def test_values_exit_code(tmp_path, grey_model, capsys, broken, code):
    images = tmp_path / "images"
    images.mkdir()
    (images / "bad.png").write_text("no image")
    if not broken:
        Pillow.fromarray(GREY).save(images / "good.png")
    with pytest.raises(SystemExit) as end:
        main(["apply", str(grey_model), str(images), "--out", str(tmp_path / "o"), "--passes", "1"])
    assert (end.value.code or 0) == code
    assert f"{1 - broken} of {2 - broken} images labelled, 1 failed" in capsys.readouterr().out


def test_equivalence_large_file_tile_by_tile(tmp_path, grey_model, monkeypatch):
    pixels = RNG.integers(0, 256, (1100, 700)).astype(np.uint8)
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "slide.tif", pixels, tile=(256, 256))
    apply_model(grey_model, tmp_path / "images", tmp_path / "whole", passes=2)
    lazily = partial(read_image, lazy_from=1)
    monkeypatch.setattr(apply_module, "read_image", lazily)
    apply_model(grey_model, tmp_path / "images", tmp_path / "tiles", passes=2)
    network = load_model(grey_model)
    prob = np.sort(predict(network, network.card.normalizer(pixels)), axis=0)
    sure = prob[-1] - prob[-2] > 1e-4
    found, expected = (
        tifffile.imread(tmp_path / name / "slide.labels.tif") for name in ("tiles", "whole")
    )
    np.testing.assert_array_equal(found[sure], expected[sure])
    assert not (tmp_path / "tiles" / "slide.uncertainty.tif").exists()
    row, other = rows(tmp_path / "tiles")["slide.tif"], rows(tmp_path / "whole")["slide.tif"]
    assert row["status"] == "ok" and row["pixels"] == other["pixels"] == "770000"
    assert row["mean_uncertainty"] == "" and other["mean_uncertainty"]
    assert float(row["a"]) == pytest.approx(float(other["a"]), abs=1e-4)
