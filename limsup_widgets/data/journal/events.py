"""What a line of the journal says: the header first, then one event per line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from limsup_widgets.data.strokes import Stroke
from limsup_widgets.errors import LimsupError

FORMAT = 1
PAINTING = ("stroke", "erase")
KINDS = (
    *PAINTING,
    "undo",
    "redo",
    "tune_start",
    "tune_end",
    "switch",
    "accept",
    "reset",
    "note",
)
"""Kinds of event. ``erase`` is a stroke of code 0, ``switch`` a change to the previous model."""


class ImageEntry(BaseModel):
    """One image that is painted on: name, checksum and ``(H, W)``."""

    model_config = ConfigDict(frozen=True)

    name: str
    sha256: str
    shape: tuple[int, int]


class Header(BaseModel):
    """First line of a journal: what the events are about.

    Attributes
    ----------
    images, classes
        The images in the order of their indices; names of the classes 1…K.
    model
        SHA-256 of the network that the session began with, or empty.
    created
        Unix time of the begin, or None for a journal that was computed.
    author, name
        Who painted, and a name for lists.
    session
        Whatever else is needed to reopen; free.
    """

    model_config = ConfigDict(frozen=True)

    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    images: tuple[ImageEntry, ...]
    classes: tuple[str, ...]
    model: str = ""
    created: float | None = None
    author: str = ""
    name: str = ""
    session: dict[str, Any] = Field(default_factory=dict)

    def line(self) -> bytes:
        """The header as one line of the file."""
        return _line({"type": "header", **self.model_dump(mode="json")})


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes
    ----------
    kind
        One of :data:`KINDS`.
    seconds
        Since the journal was begun.
    data
        What else was written down.
    stroke
        For ``stroke`` and ``erase``; None otherwise.
    """

    kind: str
    seconds: float = 0.0
    data: dict[str, Any] = field(default_factory=dict)
    stroke: Stroke | None = None

    @classmethod
    def of_stroke(cls, stroke: Stroke, seconds: float = 0.0) -> Event:
        """A stroke, or an erasure where every new code is 0."""
        erased = all(new == 0 for *_, new in stroke.runs)
        return cls("erase" if erased else "stroke", seconds, stroke=stroke)

    def line(self) -> bytes:
        """The event as one line of the file."""
        painted = self.stroke.as_event() if self.stroke else {}
        return _line({**painted, **self.data, "type": self.kind, "t": round(self.seconds, 3)})

    @classmethod
    def from_json(cls, raw: dict[str, Any], header: Header) -> Event:
        """Check and rebuild an event; raises LimsupError, KeyError, TypeError or ValueError."""
        kind, seconds = raw.pop("type"), float(raw.pop("t"))
        if kind not in KINDS:
            raise LimsupError("event", got=repr(kind), expected=", ".join(KINDS))
        if kind not in PAINTING:
            return cls(kind, seconds, raw)
        stroke = Stroke.from_event(raw)
        _check_stroke(stroke, header)
        return cls(kind, seconds, stroke=stroke)


def _line(value: dict[str, Any]) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def _check_stroke(stroke: Stroke, header: Header) -> None:
    """A damaged stroke must not reach the labels."""
    if not 0 <= stroke.image < len(header.images):
        raise LimsupError("image of a stroke", got=stroke.image, expected=len(header.images))
    shape = header.images[stroke.image].shape
    if stroke.shape != shape:
        raise LimsupError("shape of a stroke", got=stroke.shape, expected=shape)
    size, top = shape[0] * shape[1], len(header.classes)
    for start, length, old, new in stroke.runs:
        if start < 0 or length < 1 or start + length > size or min(old, new) < 0:
            raise LimsupError("run of a stroke", got=(start, length, old, new))
        if max(old, new) > top:
            raise LimsupError("class of a stroke", got=max(old, new), expected=f"0…{top}")
