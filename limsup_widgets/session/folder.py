"""The folder of a session: journal, networks, copies of images that have no file, results."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from limsup_widgets.data.formats.tiff_lazy import SAMPLED
from limsup_widgets.data.image import Image
from limsup_widgets.data.journal import FileLock, JournalContent, read_journal
from limsup_widgets.data.journal.reading import parse_journal
from limsup_widgets.data.journal.writing import sync_folder
from limsup_widgets.data.readers import read_image
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.weights import ModelCard, load_model, model_sha256, save_model


class SessionFolder:
    """Where everything of one session lies; nothing in it is ever deleted.

    Attributes
    ----------
    path
        ``journal.jsonl``, ``models/<sha256>.safetensors``, ``accepted/``, ``images/`` and
        ``truths/`` are in it.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser().resolve()
        self.journal = self.path / "journal.jsonl"
        self.accepted = self.path / "accepted"

    @property
    def in_use(self) -> bool:
        """Whether a session has begun here: a header that was not finished does not count."""
        if not self.journal.is_file():
            return False
        with self.journal.open("rb") as file:
            first = parse_journal(file.readline())
        return first.header is not None or bool(first.damage)

    def read(self, recover: bool = False) -> JournalContent:
        """Content of the journal.

        A torn last line is only marked in it, as the session tells the user. With ``recover``,
        what stands before a damaged line becomes the journal; the damaged file is kept beside it.
        """
        if not self.path.is_dir():
            raise LimsupError(f"session folder {self.path}", got="no such folder")
        content = read_journal(self.journal, recover, warn=False)
        if content.header is None:
            raise LimsupError(
                f"journal {self.journal}",
                got="no complete header, so nothing was ever recorded",
                do="begin a session in this folder: Session(images, classes, folder=…)",
            )
        if content.damage:
            self._cut(content.end)
        return content

    def _cut(self, end: int) -> None:
        with FileLock(self.journal.with_suffix(".lock")):
            count = len(list(self.path.glob("journal.damaged-*.jsonl"))) + 1
            shutil.copy2(self.journal, self.path / f"journal.damaged-{count}.jsonl")
            write_whole(self.journal, self.journal.read_bytes()[:end])

    def network_file(self, sha256: str) -> Path:
        """Where the network of this checksum lies."""
        return self.path / "models" / f"{sha256}.safetensors"

    def keep_network(self, module: nn.Module, sha256: str, card: ModelCard) -> Path:
        """Write a network whole; one that is there already is not written again."""
        file = self.network_file(sha256)
        if not file.is_file():
            save_model(file, module, card)
            sync_folder(file.parent)
        return file

    def network(self, sha256: str, shell: nn.Module | None = None) -> nn.Module:
        """Read a network; raises :class:`LimsupError` if it is not the one that was written."""
        file = self.network_file(sha256)
        module = load_model(file, shell)
        if model_sha256(module) != sha256:
            raise LimsupError(f"model {file}", got="other weights than its name says")
        return module

    def keep_source(self, image: Image) -> dict[str, Any]:
        """How to find ``image`` again; pixels that come from no file are copied here.

        Not those of a large image: :meth:`source` then asks for it.
        """
        entry: dict[str, Any] = {"name": image.name, "sha256": image.sha256}
        if image.path is not None:
            path = image.path.expanduser().resolve()
            return {**entry, "path": str(path), "relative": os.path.relpath(path, self.path)}
        if image.is_lazy:
            return {**entry, "made": True}
        copy = f"images/{image.sha256[:16]}.npy"
        (self.path / "images").mkdir(exist_ok=True)
        write_whole(self.path / copy, _npy(image.array))
        return {
            **entry,
            "copy": copy,
            "axes": image.axes,
            "spacing": list(image.spacing),
            "affine": None if image.affine is None else np.asarray(image.affine).tolist(),
            "notes": list(image.notes),
        }

    def source(self, entry: dict[str, Any]) -> Image:
        """The image of :meth:`keep_source`; says clearly if its file moved or changed."""
        if "copy" in entry:
            return self._copied(entry)
        if "made" in entry:
            raise LimsupError(
                f"image {entry['name']}",
                got="pixels that came from no file, too many to be copied",
                do="name it: Session.open(folder, images=[…])",
            )
        places = [Path(entry["path"]), self.path / entry["relative"]]
        found = next((path for path in places if path.exists()), None)
        if found is None:
            raise LimsupError(
                f"image {entry['path']}",
                got="no such file",
                do="put it back, or name it: Session.open(folder, images=[…])",
            )
        image = same_image(read_as_before(found, entry["sha256"]), entry["sha256"])
        if image is None:
            raise LimsupError(
                f"image {found}",
                got="another content than when it was scribbled on",
                do="put the original back, or name it: Session.open(folder, images=[…])",
            )
        return image

    def _copied(self, entry: dict[str, Any]) -> Image:
        file = self.path / entry["copy"]
        try:
            pixels = np.load(file, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise LimsupError(
                f"copy {file} of image {entry['name']}",
                got=" ".join(str(error).split()),
                do="name the image: Session.open(folder, images=[…])",
            ) from error
        affine = None if entry["affine"] is None else np.asarray(entry["affine"])
        return Image(
            array=pixels,
            axes=entry["axes"],
            spacing=tuple(entry["spacing"]),
            affine=affine,
            sha256=entry["sha256"],
            name=entry["name"],
            notes=tuple(entry["notes"]),
        )

    def keep_truths(self, truths: tuple[NDArray[np.uint8] | None, ...]) -> None:
        """Copy the truths that are known."""
        known = {i: truth for i, truth in enumerate(truths) if truth is not None}
        if known:
            (self.path / "truths").mkdir(exist_ok=True)
        for i, truth in known.items():
            write_whole(self.path / "truths" / f"{i:03d}.npy", _npy(truth))

    def truths(self, count: int) -> list[NDArray[np.uint8] | None]:
        """The truths of ``count`` images."""
        files = [self.path / "truths" / f"{i:03d}.npy" for i in range(count)]
        return [np.load(f, allow_pickle=False) if f.is_file() else None for f in files]


def read_as_before(path: Path, sha256: str) -> Image:
    """Read a file on the disk or into memory, whichever it was when it got this checksum."""
    lazy_from = 1 if sha256.startswith(SAMPLED) else sys.maxsize
    return read_image(path, lazy_from=lazy_from)


def same_image(image: Image, sha256: str) -> Image | None:
    """``image``, or the plane of it, that has this checksum; None if there is none."""
    planes = (plane for axis in range(3) for plane in image.planes(axis))
    return next((found for found in (image, *planes) if found.sha256 == sha256), None)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file in one piece: after a crash the old or the new content is there."""
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def _npy(array: NDArray[Any]) -> bytes:
    import io

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def settings_line(settings: object) -> dict[str, Any]:
    """Settings as plain JSON values."""
    from dataclasses import asdict

    return json.loads(json.dumps(asdict(settings)))  # type: ignore[call-overload]
