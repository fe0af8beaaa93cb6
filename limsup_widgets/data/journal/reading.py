"""Read a journal, also one that a crash or a bad disk has damaged."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from limsup_widgets.data.journal.events import Event, Header
from limsup_widgets.errors import LimsupError


class JournalWarning(UserWarning):
    """Something in a journal was left out."""


@dataclass(frozen=True)
class JournalContent:
    """What a journal holds.

    Attributes
    ----------
    header
        None only if the file ends inside its first line: then nothing was ever recorded.
    events
        Every complete event, in order.
    end
        Bytes up to which the file is good; whoever appends cuts it here first.
    torn
        Whether a last line that was not written to its end was dropped.
    damage
        What is wrong at `end`, when a damaged line was cut off by ``recover=True``.
    """

    header: Header | None
    events: tuple[Event, ...] = ()
    end: int = 0
    torn: bool = False
    damage: str = ""


def read_journal(path: Path | str, recover: bool = False, warn: bool = True) -> JournalContent:
    """Every complete event of a journal.

    A line counts as complete with its closing brace. A last line that is not complete is what a
    crash inside a write leaves: it is dropped with a :class:`JournalWarning`. It was never
    reported as saved.

    Parameters
    ----------
    path
        The file.
    recover
        Return what stands before a damaged line in place of raising.
    warn
        Whether to warn of a torn line; for callers who say it otherwise.

    Raises
    ------
    LimsupError
        No such file, or a line that is complete but makes no sense.
    """
    path = Path(path)
    if not path.is_file():
        raise LimsupError(f"journal {path}", got="no such file", do="check the path")
    content = parse_journal(path.read_bytes())
    if content.damage and not recover:
        raise LimsupError(
            f"journal {path}",
            got=content.damage,
            do=f"recover=True opens the {len(content.events)} events before it",
        )
    if content.torn and warn:
        warnings.warn(
            f"{path}: the last line was not written to its end and is dropped; "
            f"{len(content.events)} complete events kept",
            JournalWarning,
            stacklevel=2,
        )
    return content


def parse_journal(data: bytes) -> JournalContent:
    """:func:`read_journal` of the bytes of a file; damage is described, never raised."""
    header: Header | None = None
    events: list[Event] = []
    end, torn, damage = 0, False, ""
    for number, line in enumerate(data.splitlines(keepends=True), start=1):
        try:
            raw = json.loads(line)
        except ValueError as error:
            torn = not line.endswith(b"\n")
            damage = "" if torn else f"line {number} damaged ({_brief(error)})"
            break
        try:
            if header is None:
                header = _header(raw)
            else:
                events.append(Event.from_json(raw, header))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            damage = f"line {number} damaged ({_brief(error)})"
            break
        end += len(line)
    return JournalContent(header, tuple(events), end, torn, damage)


def _header(raw: dict[str, Any]) -> Header:
    if raw.pop("type", None) != "header":
        raise LimsupError("first line", expected="a journal's header")
    return Header.model_validate(raw)


def _brief(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return " ".join(str(error).split()) or type(error).__name__
