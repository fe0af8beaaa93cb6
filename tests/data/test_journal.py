"""The journal: nothing that was called saved is ever lost, and nothing half-written is believed."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limsup_widgets.data.journal import (
    Event,
    Header,
    ImageEntry,
    Journal,
    JournalWarning,
    read_journal,
    replay,
    write_journal,
    writing,
)
from limsup_widgets.data.journal.reading import parse_journal
from limsup_widgets.data.strokes import Stroke
from limsup_widgets.errors import LimsupError

SHAPE = (3, 5)
HEADER = Header(
    images=tuple(ImageEntry(name=f"ä{i}", sha256="0" * 64, shape=SHAPE) for i in range(2)),
    classes=("kern", "übriges"),
)


def stroke(start: int, length: int, new: int = 1, old: int = 0, image: int = 0) -> Stroke:
    pixels = np.arange(start, start + length)
    return Stroke.from_pixels(SHAPE, pixels, old, new, image=image, seconds=2.0)


EVENTS = [
    Event.of_stroke(stroke(0, 4), 1.0),
    Event.of_stroke(stroke(7, 3, new=2, image=1), 2.5),
    Event("undo", 3.0),
    Event("redo", 3.25),
    Event.of_stroke(stroke(1, 2, new=0, old=1), 4.0),
    Event("note", 5.0, {"text": "größer {} \n"}),
    Event("tune_start", 6.0, {"model": "ab", "settings": {"steps": 3}}),
    Event("tune_end", 7.0, {"status": "done", "model": "cd"}),
]


def written(path: Path, events: list[Event]) -> bytes:
    journal = Journal(path, HEADER)
    for event in events:
        journal.append(event)
    assert journal.close()
    return path.read_bytes()


def test_roundtrip(tmp_path: Path) -> None:
    data = written(tmp_path / "journal.jsonl", EVENTS)
    content = read_journal(tmp_path / "journal.jsonl")
    assert content.header == HEADER
    assert list(content.events) == EVENTS
    assert (content.end, content.torn, content.damage) == (len(data), False, "")
    assert [json.loads(line)["type"] for line in data.splitlines()][1:6] == [
        "stroke",
        "stroke",
        "undo",
        "redo",
        "erase",
    ]


def test_values_of_every_cut(tmp_path: Path) -> None:
    """Cut at any byte: every event whose closing brace is there comes back, and no other."""
    data = written(tmp_path / "journal.jsonl", EVENTS)
    braces = np.cumsum([len(line) for line in data.splitlines(keepends=True)]) - 1
    for cut in range(len(data) + 1):
        content = parse_journal(data[:cut])
        complete = int((braces <= cut).sum())
        assert (content.header is not None) == (complete > 0)
        assert list(content.events) == EVENTS[: max(0, complete - 1)]
        assert not content.damage
        assert content.torn == (cut > 0 and cut not in braces and cut not in braces + 1)


strokes = st.builds(
    lambda at, new, image: Event.of_stroke(stroke(min(at), 1, new=new, image=image), 1.0),
    st.lists(st.integers(0, 14), min_size=1),
    st.integers(0, 2),
    st.integers(0, 1),
)
others = st.builds(
    lambda kind, text: Event(kind, 1.0, {"text": text}),
    st.sampled_from(["undo", "redo", "reset", "accept", "note"]),
    st.text(max_size=8),
)


@given(st.lists(st.one_of(strokes, others), max_size=12), st.data())
@settings(max_examples=150, deadline=None)
def test_values_of_any_journal_cut_anywhere(events: list[Event], draw: st.DataObject) -> None:
    lines = [HEADER.line(), *(event.line() for event in events)]
    data = b"".join(lines)
    cut = draw.draw(st.integers(0, len(data)))
    content = parse_journal(data[:cut])
    ends = np.cumsum([len(line) for line in lines]) - 1
    assert list(content.events) == events[: max(0, int((ends <= cut).sum()) - 1)]
    assert not content.damage


def test_roundtrip_after_every_cut(tmp_path: Path) -> None:
    """A journal that continues a torn one is valid again: old events, then a (shorter) new one."""
    data = written(tmp_path / "journal.jsonl", EVENTS[:2])
    path = tmp_path / "torn" / "journal.jsonl"
    path.parent.mkdir()
    for cut in range(0, len(data) + 1, 7):
        path.write_bytes(data[:cut])
        kept = parse_journal(data[:cut]).events
        journal = Journal(path, HEADER)
        journal.append(EVENTS[2])
        assert journal.close()
        content = parse_journal(path.read_bytes())
        assert list(content.events) == [*kept, EVENTS[2]] and not content.torn


def test_errors_torn_line_warns(tmp_path: Path) -> None:
    data = written(tmp_path / "journal.jsonl", EVENTS)
    (tmp_path / "journal.jsonl").write_bytes(data[:-5])
    with pytest.warns(JournalWarning, match=f"{len(EVENTS) - 1} complete events kept"):
        content = read_journal(tmp_path / "journal.jsonl")
    assert content.torn


BAD_LINES = [
    b"\x00\x00\xff\n",
    b"{}\n",
    b"[1]\n",
    b"7\n",
    b'{"type":"stroke","t":1}\n',
    b'{"type":"dance","t":1}\n',
    b'{"type":"undo"}\n',
    b'{"type":"stroke","t":1,"image":9,"shape":[3,5],"runs":[[0,1,0,1]]}\n',
    b'{"type":"stroke","t":1,"image":0,"shape":[9,9],"runs":[[0,1,0,1]]}\n',
    b'{"type":"stroke","t":1,"image":0,"shape":[3,5],"runs":[[14,2,0,1]]}\n',
    b'{"type":"stroke","t":1,"image":0,"shape":[3,5],"runs":[[-1,2,0,1]]}\n',
    b'{"type":"stroke","t":1,"image":0,"shape":[3,5],"runs":[[0,2,0,3]]}\n',
    b'{"type":"stroke","t":1,"image":0,"shape":[3,5],"runs":[[0,2]]}\n',
]


@pytest.mark.parametrize("bad", BAD_LINES)
def test_errors_damage_in_the_middle(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    lines = written(path, EVENTS).splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], bad, *lines[4:]]))
    with pytest.raises(LimsupError, match=r"line 5 damaged .*recover=True opens the 3 events"):
        read_journal(path)
    content = read_journal(path, recover=True)
    assert list(content.events) == EVENTS[:3]
    assert content.end == sum(map(len, lines[:4]))
    with pytest.raises(LimsupError, match="line 5 damaged"):
        Journal(path)


@pytest.mark.parametrize("first", [b"hello\n", b'{"type":"undo","t":0}\n', b'{"type":"header"}\n'])
def test_errors_not_a_journal(tmp_path: Path, first: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(first)
    with pytest.raises(LimsupError, match="line 1 damaged"):
        read_journal(path)
    with pytest.raises(LimsupError, match="no such file"):
        read_journal(tmp_path / "missing.jsonl")
    with pytest.raises(LimsupError, match="no header"):
        Journal(tmp_path / "new.jsonl")


def test_errors_newer_format(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(HEADER.line().replace(b'"format":1', b'"format":2'))
    with pytest.raises(LimsupError, match="format"):
        read_journal(path)


def test_values_of_replay(tmp_path: Path) -> None:
    written(tmp_path / "journal.jsonl", EVENTS)
    content = read_journal(tmp_path / "journal.jsonl")
    history = replay(content)
    assert history.labels[0].ravel().tolist() == [1, 0, 0, 1] + [0] * 11
    assert history.labels[1].ravel().tolist() == [0] * 7 + [2] * 3 + [0] * 5
    assert (len(history.done), len(history.undone)) == (3, 0)
    assert replay(content, until=3).labels[1].any() == False  # noqa: E712
    with pytest.raises(LimsupError, match="no complete header"):
        replay(parse_journal(b""))


def test_equivalence_of_written_and_appended(tmp_path: Path) -> None:
    """A simulated annotator's journal is read as if a person had painted it."""
    drawn = [stroke(0, 3), stroke(4, 2, new=2)]
    path = write_journal(tmp_path / "main" / "journal.jsonl", HEADER, drawn)
    events = read_journal(path).events
    assert [event.stroke for event in events] == drawn
    assert [event.seconds for event in events] == [2.0, 4.0]
    assert path.read_bytes() == written(tmp_path / "live.jsonl", list(events))


def failing(monkeypatch: pytest.MonkeyPatch, after: int) -> list[bool]:
    """Let writes fail with "no space left" once ``after`` bytes of a burst are down."""
    broken = [True]
    real = writing.write_all

    def write_all(descriptor: int, data: bytes) -> None:
        if broken[0]:
            real(descriptor, data[:after])
            raise OSError(28, "No space left on device")
        real(descriptor, data)

    monkeypatch.setattr(writing, "write_all", write_all)
    return broken


@pytest.mark.parametrize("after", [0, 1, 40])
def test_errors_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, HEADER)
    told: list[tuple[bool, str]] = []
    journal.saved.connect(lambda ok, reason: told.append((ok, reason)))
    journal.append(EVENTS[0])
    assert journal.flush() and told == [(True, "")]
    broken = failing(monkeypatch, after)
    journal.append(EVENTS[1])
    assert not journal.flush() and not journal.is_saved
    assert told[-1] == (False, f"{path}: No space left on device")
    assert list(read_journal(path).events) == EVENTS[:1]
    broken[0] = False
    journal.append(EVENTS[2])
    assert journal.close() and told[-1] == (True, "")
    assert list(read_journal(path).events) == EVENTS[:3]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_errors_dev_full(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.symlink_to("/dev/full")
    journal = Journal(path, HEADER)
    journal.append(EVENTS[0])
    assert not journal.flush()
    path.unlink()
    assert journal.close()
    assert list(read_journal(path).events) == EVENTS[:1]


def test_errors_folder_gone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "later" / "journal.jsonl", HEADER)
    journal.append(EVENTS[0])
    assert not journal.flush()
    (tmp_path / "later").mkdir()
    assert journal.close()
    assert list(read_journal(tmp_path / "later" / "journal.jsonl").events) == EVENTS[:1]


def test_errors_shortened_by_another(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, HEADER)
    journal.append(EVENTS[0])
    assert journal.flush()
    os.truncate(path, 10)
    told: list[str] = []
    journal.saved.connect(lambda ok, reason: told.append(reason))
    journal.append(EVENTS[1])
    assert not journal.close()
    assert "shortened to 10 bytes" in told[-1]


def test_errors_two_owners(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl", HEADER)
    with pytest.raises(LimsupError, match=f"open in process {os.getpid()}"):
        Journal(tmp_path / "journal.jsonl", HEADER)
    assert journal.close() and journal.close()
    with pytest.raises(LimsupError, match="closed"):
        journal.append(EVENTS[0])
    assert Journal(tmp_path / "journal.jsonl", HEADER).close()


def test_values_fsync_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved is said after the fsync, by a thread that is not the caller's."""
    order: list[str] = []
    threads: set[int] = set()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        order.append("fsync")
        threads.add(threading.get_ident())

    monkeypatch.setattr(os, "fsync", fsync)
    journal = Journal(tmp_path / "journal.jsonl", HEADER)
    journal.saved.connect(lambda ok, reason: order.append("saved"))
    journal.append(EVENTS[0])
    assert journal.close()
    assert order[0] == "fsync" and order[-1] == "saved"
    assert threading.get_ident() not in threads


def test_errors_of_a_listener_do_not_stop_the_writer(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl", HEADER)

    @journal.saved.connect
    def broken(ok: bool, reason: str) -> None:
        raise RuntimeError("a view with a bug")

    for event in EVENTS:
        journal.append(event)
    assert journal.close()
    assert list(read_journal(tmp_path / "journal.jsonl").events) == EVENTS
