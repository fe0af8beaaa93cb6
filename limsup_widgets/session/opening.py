"""Begin a session in a folder, or go on with the one that is there."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from limsup_widgets.data.history import History
from limsup_widgets.data.journal import Header, ImageEntry, Journal, JournalContent, replay
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.inputs import Normalizer
from limsup_widgets.learn.tune import TuneSettings
from limsup_widgets.learn.weights import ModelCard
from limsup_widgets.session.case import Case, Source, make_case
from limsup_widgets.session.folder import SessionFolder, read_as_before, same_image
from limsup_widgets.session.networks import Network, Networks, shas_after, shell
from limsup_widgets.session.record import Record

if TYPE_CHECKING:
    from limsup_widgets.session.session import Session

_OPEN: weakref.WeakValueDictionary[Path, Session] = weakref.WeakValueDictionary()


def take_over(path: Path | str, session: Session | None = None) -> None:
    """Close the session of this process that is open in the folder, and put ``session`` there.

    So a notebook cell that opens a session can be run twice.
    """
    place = SessionFolder(path).path
    other = _OPEN.pop(place, None)
    if other is not None and other is not session:
        other.close()
    if session is not None:
        _OPEN[place] = session


def header_of(
    case: Case, start: Network, normalizer: Normalizer, name: str, **session: Any
) -> Header:
    """First line of the journal of a session that begins now."""
    images = tuple(
        ImageEntry(name=image.name, sha256=image.sha256, shape=image.shape) for image in case.images
    )
    return Header(
        images=images,
        classes=case.classes,
        model=start.sha256,
        created=round(time.time(), 3),
        name=name,
        session={"mean": list(normalizer.mean), "std": list(normalizer.std), **session},
    )


def begin_in(
    folder: SessionFolder, record: Record, case: Case, start: Network, card: ModelCard
) -> None:
    """Make the folder, and put what has happened so far into it.

    Raises :class:`LimsupError` if it cannot be written; then nothing has changed.
    """
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.keep_network(start.module, start.sha256, card)
        folder.keep_truths(case.truths)
        sources = [folder.keep_source(source) for source in case.sources]
    except OSError as error:
        raise LimsupError(
            f"session folder {folder.path}",
            got=error.strerror or str(error),
            do="choose a folder that can be written",
        ) from error
    session = {**record.header.session, "sources": sources}
    record.header = record.header.model_copy(update={"session": session})
    record.keep_in(Journal(folder.journal, record.header), missing=record.events)


def resume_in(
    folder: SessionFolder, record: Record, case: Case, networks: Networks
) -> tuple[History, list[str]]:
    """Take up the session of the folder; its labels, and what the user should know."""
    content = folder.read()
    assert content.header is not None
    _check_same(folder, content.header, record.header)
    record.header = content.header
    record.events = list(content.events)
    record.keep_in(Journal(folder.journal))
    notes = [*_restore(folder, content, case, networks)]
    if content.torn:
        notes.append("the last line of the journal was not written to its end and is dropped")
    kinds = [event.kind for event in content.events if event.kind.startswith("tune_")]
    if kinds and kinds[-1] == "tune_start":
        notes.append("the last tune did not end; the network from before it is in use")
    return replay(content), notes


def _check_same(folder: SessionFolder, theirs: Header, ours: Header) -> None:
    pairs = {
        "images": ([i.sha256 for i in theirs.images], [i.sha256 for i in ours.images]),
        "classes": (theirs.classes, ours.classes),
        "start network": (theirs.model, ours.model),
    }
    for what, (there, here) in pairs.items():
        if there != here:
            raise LimsupError(
                f"session folder {folder.path}",
                got=f"a session with other {what}",
                do="choose another folder, or continue that one with Session.open(folder)",
            )


def _restore(
    folder: SessionFolder, content: JournalContent, case: Case, networks: Networks
) -> list[str]:
    """Put the networks back that were in use; what could not be read."""
    assert content.header is not None
    current, previous = shas_after(content.events, content.header.model)
    found: dict[str, Network] = {networks.start.sha256: networks.start}
    notes = []
    for sha256 in {current, previous} - {""} - set(found):
        try:
            module = folder.network(sha256, shell(networks.start, case))
        except LimsupError as error:
            notes.append(f"{error} The network before it is used; tune again.")
            continue
        found[sha256] = Network(module, sha256)
    networks.previous = found.get(previous)
    networks.current = found.get(current) or networks.previous or networks.start
    return notes


def open_arguments(
    folder: SessionFolder,
    images: Sequence[Source] | None = None,
    model: nn.Module | None = None,
    recover: bool = False,
) -> dict[str, Any]:
    """Arguments with which :class:`Session` takes up the session of a folder."""
    content = folder.read(recover)
    assert content.header is not None
    header, kept = content.header, content.header.session
    if "sources" not in kept:
        raise LimsupError(
            f"journal {folder.journal}",
            got="strokes without a session, as a simulated annotator writes them",
            do="play it onto a session with session.replay(…)",
        )
    entries = kept["sources"]
    sources = [folder.source(entry) for entry in entries] if images is None else None
    case = make_case(sources or _given(images or [], entries), header.classes)
    return {
        "images": case.sources,
        "classes": header.classes,
        "model": folder.network(header.model, model),
        "truths": folder.truths(len(header.images)),
        "settings": _last_settings(content, kept["settings"]),
        "passes": kept["passes"],
        "seed": kept["seed"],
        "name": header.name,
        "normalizer": Normalizer(tuple(kept["mean"]), tuple(kept["std"])),
    }


def _last_settings(content: JournalContent, first: dict[str, Any]) -> TuneSettings:
    """Settings of the last tune; those this version does not know are left out."""
    tunes = [event.data for event in content.events if event.kind == "tune_start"]
    last = tunes[-1]["settings"] if tunes else first
    known = {field.name for field in fields(TuneSettings)}
    return TuneSettings(**{key: value for key, value in last.items() if key in known})


def _given(images: Sequence[Source], entries: list[dict[str, Any]]) -> list[Source]:
    """The images that the user names in place of files that are gone, if they are the same."""
    if len(images) != len(entries):
        raise LimsupError("images", got=len(images), expected=f"{len(entries)}, as in the session")
    found: list[Source] = []
    for given, entry in zip(images, entries, strict=True):
        image = given
        if isinstance(given, str | Path):
            image = read_as_before(Path(given), entry["sha256"])
        same = same_image(make_case([image], ("a", "b")).sources[0], entry["sha256"])
        if same is None:
            raise LimsupError(
                f"image {entry['name']}", got="another content", expected="the image as it was"
            )
        found.append(same)
    return found
