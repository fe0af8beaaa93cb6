"""`limsup open`: begin, resume, take labels along; nothing painted is lost."""

import subprocess
import sys
from functools import partial

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from limsup_widgets import window
from limsup_widgets.data.readers import read_image
from limsup_widgets.errors import LimsupError
from limsup_widgets.view.display import viewer_available
from limsup_widgets.window import make_session

CODES = np.zeros((20, 28), np.uint8)
CODES[2, 3:9], CODES[11, 3:9] = 1, 2


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current folder with a picture, a volume and labels for both."""
    rng = np.random.default_rng(0)
    Pillow.fromarray(rng.integers(0, 255, CODES.shape).astype(np.uint8)).save(tmp_path / "a.png")
    Pillow.fromarray(CODES).save(tmp_path / "labels.png")
    volume = rng.integers(0, 255, (3, *CODES.shape)).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(volume.T, np.eye(4)), tmp_path / "scan.nii")
    labels = np.stack([CODES * 0, CODES, CODES * 0])
    nibabel.save(nibabel.Nifti1Image(labels.T, np.eye(4)), tmp_path / "labels.nii")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_roundtrip_begin_and_resume(here):
    with make_session([here / "a.png"], ("dark", "bright"), [here / "labels.png"]) as session:
        assert session.folder == here / "a-session"
        assert np.array_equal(session.labels(0), CODES)
        session.paint(np.arange(5), 2)
        session.flush()
    with make_session([here / "a.png"], None, [here / "labels.png"]) as again:
        assert again.classes == ("dark", "bright")
        assert again.labels(0)[0, :5].tolist() == [2] * 5
    with make_session([], folder=here / "a-session") as resumed:
        assert resumed.can_undo


def test_values_volume_opens_as_its_planes(here):
    with make_session([here / "scan.nii"], None, [here / "labels.nii"]) as session:
        assert len(session.images) == 3
        assert session.classes == ("background", "object")
        assert [bool(session.labels(i).any()) for i in range(3)] == [False, True, False]


def test_values_labels_of_a_large_file(here, monkeypatch):
    codes = np.zeros((1100, 1000), np.uint8)
    codes[1050, 30:40], codes[3, 990:] = 2, 1
    tifffile.imwrite(here / "slide.tif", np.zeros(codes.shape, np.uint8), tile=(256, 256))
    tifffile.imwrite(here / "codes.tif", codes)
    monkeypatch.setattr(window, "read_image", partial(read_image, lazy_from=1))
    with make_session([here / "slide.tif"], None, [here / "codes.tif"]) as session:
        assert session.images[0].is_lazy
        assert np.array_equal(session.labels(0, (0, 0, *codes.shape)), codes)


def test_errors(here):
    picture = here / "a.png"
    with pytest.raises(LimsupError, match="no image"):
        make_session([])
    with pytest.raises(LimsupError, match="no session"):
        make_session([], folder=here / "nowhere")
    with pytest.raises(LimsupError, match="2 label images"):
        make_session([picture], scribbles=[here / "labels.png"] * 2)
    make_session([picture], ("dark", "bright")).close()
    with pytest.raises(LimsupError, match="classes dark,grey, expected dark,bright"):
        make_session([picture], ("dark", "grey"))
    with pytest.raises(LimsupError, match="--model"):
        make_session([picture], model=here / "m.safetensors")


PROGRAM = """
import sys
from pathlib import Path
from limsup_widgets.view import napari_view
from limsup_widgets.window import make_session, open_window

opened = []
show = napari_view.NapariView.show
napari_view.NapariView.show = lambda view: (show(view), opened.append(view))[0]
session = make_session([Path("a.png")], ("dark", "bright"))

def close_window():
    if opened and opened[-1].is_open:
        session.paint([0, 1, 2], 1)
        opened[-1].viewer.window._qt_window.close()

session.pump.add(close_window)
open_window(session)
print("closed")
"""


@pytest.mark.display
@pytest.mark.slow
@pytest.mark.skipif(not viewer_available()[0], reason=viewer_available()[1])
def test_roundtrip_window_is_closed_and_nothing_is_lost(here, monkeypatch):
    monkeypatch.setenv("NAPARI_CONFIG", str(here / "napari.yaml"))
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert ended.stdout.strip().endswith("closed"), ended.stderr[-2000:]
    with make_session([], folder=here / "a-session") as resumed:
        assert resumed.labels(0)[0, :3].tolist() == [1, 1, 1]
