"""What was in the folder comes back, and what cannot come back is said."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from session_cases import CLASSES, QUICK, halves, heard, scribble, tiny, truth
from torch import nn

from limsup_widgets.data.image import Image
from limsup_widgets.data.journal import read_journal
from limsup_widgets.errors import LimsupError
from limsup_widgets.session import Session

INTERRUPTED = "the last tune did not end"


def begun(folder: Path, **options: object) -> Session:
    defaults = {"model": tiny(), "truths": [truth(), None], "settings": QUICK, "passes": 3}
    images = [halves(0), halves(1)]
    return Session(images, CLASSES, folder=folder, **{**defaults, **options})


def same_state(one: Session, two: Session) -> bool:
    return (
        all((one.labels(i) == two.labels(i)).all() for i in range(len(one.images)))
        and one.model_sha256 == two.model_sha256
        and one.has_previous == two.has_previous
        and (one.can_undo, one.can_redo) == (two.can_undo, two.can_redo)
        and [e.kind for e in one.history()] == [e.kind for e in two.history()]
    )


def test_roundtrip(tmp_path: Path) -> None:
    with begun(tmp_path / "s", name="case 7", seed=3) as session:
        scribble(session)
        scribble(session, 1)
        session.tune(progress=False)
        session.undo()
        session.note("größer")
        session.tune(progress=False)
        session.toggle_previous()
        codes = session.codes(1)
    again = Session.open(tmp_path / "s")
    assert same_state(again, session) and again.can_redo
    assert (again.codes(1) == codes).all()
    assert (again.truth(0) == truth()).all() and again.truth(1) is None
    assert (again.name, again.settings, again.folder) == ("case 7", QUICK, tmp_path / "s")
    assert (again.moments(0).mean == session.moments(0).mean).all()
    assert again.normalizer == session.normalizer
    again.toggle_previous()
    again.redo()
    again.close()
    with Session.open(tmp_path / "s") as third:
        assert same_state(third, again)


def test_roundtrip_of_memory_into_a_folder(tmp_path: Path) -> None:
    """A session that began in memory is saved later, with all that had happened."""
    with begun(None) as session:
        scribble(session)
        session.tune(progress=False)
        session.undo()
        assert not session.is_saved
        session.save(tmp_path / "later")
        assert session.flush() and session.is_saved
        with pytest.raises(LimsupError, match="kept in"):
            session.save(tmp_path / "twice")
    with Session.open(tmp_path / "later") as again:
        assert same_state(again, session)


def test_roundtrip_of_adapted_networks(tmp_path: Path) -> None:
    """Also a foreign module whose head was replaced; its class has to be given again."""
    foreign = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 1))
    for name, model in (("own", tiny(classes=4)), ("foreign", foreign)):
        with Session(
            halves()[..., 0], CLASSES, model=model, folder=tmp_path / name, settings=QUICK
        ) as session:
            assert not session.ready
            scribble(session)
            session.tune(progress=False)
            prob = session.prob(0)
    with Session.open(tmp_path / "own") as again:
        assert again.ready
    with pytest.raises(LimsupError, match="pass model="):
        Session.open(tmp_path / "foreign")
    with Session.open(tmp_path / "foreign", model=foreign) as again:
        np.testing.assert_array_equal(again.prob(0), prob)
        again.reset()
        assert not again.ready


def test_values_cell_run_twice(tmp_path: Path) -> None:
    """The second run closes the first session and goes on with the same state."""
    first = begun(tmp_path / "s")
    scribble(first)
    second = begun(tmp_path / "s")
    assert same_state(first, second) and first.history()
    with pytest.raises(LimsupError, match="closed"):
        first.paint([0], 1)
    third = Session.open(tmp_path / "s")
    third.paint([0], 1)
    third.close()


def test_values_of_a_forgotten_session(tmp_path: Path) -> None:
    """Nobody closed it, nobody holds it: its folder is free, and everything is in it."""
    begun(tmp_path / "s").paint([3], 1)
    gc.collect()
    with Session.open(tmp_path / "s") as again:
        assert again.labels(0)[0, 3] == 1


def test_values_settings_of_the_last_tune(tmp_path: Path) -> None:
    with begun(tmp_path / "s") as session:
        scribble(session)
        session.settings = replace(QUICK, steps=3, weighting="balanced")
        session.tune(progress=False)
    with Session.open(tmp_path / "s") as again:
        assert again.settings == session.settings


def test_values_settings_outlive_a_short_live_tune(tmp_path: Path) -> None:
    with begun(tmp_path / "s") as session:
        session.settings = replace(QUICK, warm_steps=1)
        scribble(session)
        session.tune(progress=False)
        session.live = True
        session.paint(([50] * 10, range(5, 15)), 1, 0)
        assert session.wait(60)
        start, end = (e for e in session.history()[-2:])
    assert (start.kind, start.data["steps"], end.data["status"]) == ("tune_start", 1, "done")
    with Session.open(tmp_path / "s") as again:
        assert again.settings == session.settings and again.settings.steps == QUICK.steps


def test_errors_of_another_session(tmp_path: Path) -> None:
    begun(tmp_path / "s").close()
    images = [halves(0), halves(1)]
    for changed, what in (
        ({"model": tiny(in_channels=1)}, "start network"),
        ({"images": halves(5)}, "images"),
        ({"classes": ("x", "y")}, "classes"),
    ):
        arguments = {"images": images, "classes": CLASSES, "model": tiny(), **changed}
        with pytest.raises(LimsupError, match=f"a session with other {what}"):
            Session(**arguments, folder=tmp_path / "s")
    with Session.open(tmp_path / "s") as session:
        assert not session.history()


def test_errors_of_two_processes(tmp_path: Path) -> None:
    begun(tmp_path / "s").close()
    script = (
        "import sys; from limsup_widgets.session import Session\n"
        "s = Session.open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "s")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None and other.stdout.readline() == "open\n"
    with pytest.raises(LimsupError, match=f"open in process {other.pid}"):
        Session.open(tmp_path / "s")
    other.kill()
    other.wait()
    Session.open(tmp_path / "s").close()


def test_errors_of_folders(tmp_path: Path) -> None:
    with pytest.raises(LimsupError, match="no such folder"):
        Session.open(tmp_path / "missing")
    with pytest.raises(LimsupError, match=r"journal\.jsonl: got no such file"):
        Session.open(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(LimsupError, match="choose a folder that can be written"):
        begun(tmp_path / "file" / "s")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "journal.jsonl").write_bytes(b'{"type":"hea')
    with pytest.raises(LimsupError, match=r"nothing was ever recorded\. Do: begin a session"):
        Session.open(tmp_path / "torn")
    begun(tmp_path / "torn").close()
    Session.open(tmp_path / "torn").close()


def test_roundtrip_of_every_image_source(tmp_path: Path) -> None:
    """Files by path and checksum, planes of a file, arrays and volumes as copies."""
    tifffile.imwrite(tmp_path / "flat.tif", halves(0)[..., 0])
    volume = np.stack([halves(i)[..., 0] for i in range(3)])
    tifffile.imwrite(tmp_path / "stack.tif", volume, photometric="minisblack")
    from limsup_widgets.data.readers import read_image

    plane = read_image(tmp_path / "stack.tif").planes()[1]
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    placed = Image.from_array(volume, "scan", axes="ZYX", spacing=(4, 3, 2), affine=affine)
    given = [tmp_path / "flat.tif", plane, placed, volume[2].astype(np.uint16) * 9]
    with Session(
        given, CLASSES, model=tiny(in_channels=1), folder=tmp_path / "s", settings=QUICK
    ) as session:
        session.paint([7], 1, image=4)
    with Session.open(tmp_path / "s") as again:
        assert [i.name for i in again.images] == [i.name for i in session.images]
        assert len(again.images) == 6 and again.labels(4)[0, 7] == 1
        for ours, theirs in zip(again.images, session.images, strict=True):
            np.testing.assert_array_equal(ours.array, theirs.array)
            assert ours.spacing == theirs.spacing
        np.testing.assert_array_equal(again.case.sources[2].affine, affine)
    shutil.move(tmp_path / "s", tmp_path / "moved")
    Session.open(tmp_path / "moved").close()


def test_errors_of_moved_and_changed_images(tmp_path: Path) -> None:
    here = tmp_path / "a.tif"
    tifffile.imwrite(here, halves(0))
    with Session(here, CLASSES, model=tiny(), folder=tmp_path / "s", settings=QUICK) as session:
        scribble(session)
    here.rename(tmp_path / "b.tif")
    with pytest.raises(LimsupError, match=r"a\.tif: got no such file\. Do: put it back, or name"):
        Session.open(tmp_path / "s")
    with Session.open(tmp_path / "s", images=[tmp_path / "b.tif"]) as again:
        assert same_state(again, session)
    tifffile.imwrite(here, halves(1))
    with pytest.raises(LimsupError, match="another content than when it was scribbled on"):
        Session.open(tmp_path / "s")
    with pytest.raises(LimsupError, match="image a: got another content"):
        Session.open(tmp_path / "s", images=[here])
    with pytest.raises(LimsupError, match="images: got 0, expected 1"):
        Session.open(tmp_path / "s", images=[])


@pytest.mark.parametrize("damage", ["gone", "cut", "another"])
def test_errors_of_a_lost_network(tmp_path: Path, damage: str) -> None:
    """The labels are worth more than the network: the session opens with the one before."""
    with begun(tmp_path / "s") as session:
        start = session.model_sha256
        scribble(session)
        session.tune(progress=False)
        tuned = session.model_sha256
    models = tmp_path / "s" / "models"
    file = models / f"{tuned}.safetensors"
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        os.truncate(file, 1000)
    else:
        shutil.copy(models / f"{start}.safetensors", file)
    with Session.open(tmp_path / "s") as again:
        assert again.model_sha256 == start and (again.labels(0) == session.labels(0)).all()
        assert "tune again" in again.events.said[0]


def test_values_of_a_torn_line(tmp_path: Path) -> None:
    with begun(tmp_path / "s") as session:
        session.paint([0], 1)
        session.paint([1], 1)
    file = tmp_path / "s" / "journal.jsonl"
    os.truncate(file, file.stat().st_size - 9)
    again = Session.open(tmp_path / "s")
    assert again.labels(0)[0, :3].tolist() == [1, 0, 0]
    assert "was not written to its end" in again.events.said[0]
    again.paint([2], 2)
    again.close()
    assert not read_journal(file).torn
    with Session.open(tmp_path / "s") as third:
        assert third.labels(0)[0, :3].tolist() == [1, 0, 2] and not third.events.said


def test_errors_of_damage(tmp_path: Path) -> None:
    with begun(tmp_path / "s") as session:
        for pixel in range(4):
            session.paint([pixel], 1)
    file = tmp_path / "s" / "journal.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:3], b"\x00" * 50 + b"\n", *lines[4:]]))
    damaged = file.read_bytes()
    with pytest.raises(LimsupError, match=r"line 4 damaged .*recover=True opens the 2 events"):
        Session.open(tmp_path / "s")
    with Session.open(tmp_path / "s", recover=True) as again:
        assert again.labels(0)[0, :4].tolist() == [1, 1, 0, 0]
        again.paint([9], 2)
    assert (tmp_path / "s" / "journal.damaged-1.jsonl").read_bytes() == damaged
    with Session.open(tmp_path / "s") as third:
        assert third.labels(0)[0, 9] == 2


def test_values_of_a_tune_that_did_not_end(tmp_path: Path) -> None:
    with begun(tmp_path / "s") as session:
        scribble(session)
        session.tune(progress=False)
    file = tmp_path / "s" / "journal.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))
    with Session.open(tmp_path / "s") as again:
        assert not again.tuning and not again.has_previous
        assert INTERRUPTED in again.events.said[0]


def test_values_of_the_folder(tmp_path: Path) -> None:
    """Readable by hand: one header, one line per event, networks under their checksum."""
    with begun(tmp_path / "s") as session:
        scribble(session)
        session.tune(progress=False)
    first, *rest = (tmp_path / "s" / "journal.jsonl").read_text().splitlines()
    header = json.loads(first)
    assert header["classes"] == list(CLASSES) and header["images"][0]["shape"] == [64, 64]
    assert [json.loads(line)["type"] for line in rest] == [
        "stroke",
        "stroke",
        "tune_start",
        "tune_end",
    ]
    files = {path.stem for path in (tmp_path / "s" / "models").iterdir()}
    assert files == {header["model"], session.model_sha256}
    assert json.loads(rest[-1])["model"] == session.model_sha256


def test_errors_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One message however many strokes; nothing is lost; saved again as soon as there is room."""
    from limsup_widgets.data.journal import writing

    session = begun(tmp_path / "s")
    events = heard(session, "saved", "message")
    session.paint([0], 1)
    assert session.flush() and events == [("saved", False), ("saved", True)]
    real = writing.write_all

    def full(descriptor: int, data: bytes) -> None:
        real(descriptor, data[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "write_all", full)
    for pixel in (1, 2, 3):
        session.paint([pixel], 1)
        assert not session.flush() and not session.is_saved
    told = [line for name, line in events if name == "message"]
    assert len(told) == 1 and "No space left" in told[0] and "nothing is lost" in told[0]
    assert events[-1] == ("saved", False) and session.labels(0)[0, :4].all()
    assert len(read_journal(tmp_path / "s" / "journal.jsonl").events) == 1
    monkeypatch.undo()
    session.paint([4], 1)
    assert session.flush() and events[-2:] == [
        ("message", "everything is saved again"),
        ("saved", True),
    ]
    session.close()
    with Session.open(tmp_path / "s") as again:
        assert again.labels(0)[0, :6].tolist() == [1, 1, 1, 1, 1, 0]


def test_errors_network_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tune counts all the same; closing writes the network after all."""
    from limsup_widgets.session import folder

    session = begun(tmp_path / "s")
    scribble(session)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "save_model", full)
    told = heard(session, "message")
    session.tune(progress=False)
    assert session.has_previous and "network not saved" in told[0][1]
    monkeypatch.undo()
    session.close()
    with Session.open(tmp_path / "s") as again:
        assert again.model_sha256 == session.model_sha256
