"""Public data sets by name: fetch with progress, verify, load."""

from __future__ import annotations

import logging
import os
import shutil
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

import pooch

from limsup_widgets.data.image import Image
from limsup_widgets.data.manifest import UNVERIFIED, Manifest, find_manifest, load_manifests
from limsup_widgets.data.readers import read_image
from limsup_widgets.errors import LimsupError

__all__ = [
    "Manifest",
    "State",
    "cache_folder",
    "fetch",
    "find_manifest",
    "load",
    "load_manifests",
    "local_path",
    "verify",
]

CACHE_VARIABLE = "LIMSUP_CACHE"


class State(StrEnum):
    """What `verify` found."""

    OK = "ok"
    MISSING = "not fetched"
    NOT_INSTALLED = "package not installed"
    DAMAGED = "checksum differs"
    UNVERIFIED = "present, no checksum known"


def cache_folder() -> Path:
    """Folder that downloads go to: $LIMSUP_CACHE, or the cache folder of the system."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(pooch.os_cache("limsup"))


def local_path(manifest: Manifest) -> Path | None:
    """Where the file is or would be; None if it belongs to a package that is not installed."""
    if not manifest.embedded:
        return cache_folder() / manifest.name / manifest.filename
    package, _, inside = manifest.url.removeprefix("package:").partition("/")
    found = find_spec(package)
    folders = list(found.submodule_search_locations or ()) if found else []
    return Path(folders[0]) / inside if folders else None


def verify(name: str, folder: Path | None = None) -> State:
    """Compare the file that is there with the checksum of its manifest.

    Parameters
    ----------
    name
        Short name of the data set.
    folder
        Folder of manifests, by default those of limsup.
    """
    manifest = find_manifest(name, folder)
    path = local_path(manifest)
    if path is None:
        return State.NOT_INSTALLED
    if not path.is_file():
        return State.MISSING
    if manifest.checksum == UNVERIFIED:
        return State.UNVERIFIED
    algorithm, _, expected = manifest.checksum.partition(":")
    return State.OK if pooch.file_hash(str(path), alg=algorithm) == expected else State.DAMAGED


def fetch(name: str, folder: Path | None = None, *, progress: bool = True) -> Path:
    """Path of the data set's file, downloaded first if it is not there or damaged.

    Parameters
    ----------
    name
        Short name of the data set.
    folder
        Folder of manifests, by default those of limsup.
    progress
        Show a bar while downloading.

    Raises
    ------
    LimsupError
        For an unknown name, no space on the disk, a failed download, a wrong checksum (nothing is
        kept then), or a package that is not installed.
    """
    manifest = find_manifest(name, folder)
    state, path = verify(name, folder), local_path(manifest)
    if path is not None and state in (State.OK, State.UNVERIFIED):
        return path
    if path is None or manifest.embedded:
        package = manifest.url.removeprefix("package:").partition("/")[0]
        raise LimsupError(
            f"data set {name}",
            got=f"package {package}: {state}",
            do=f"install the version of {package} that limsup's constraints.txt names",
        )
    _check_space(manifest, path.parent)
    return _download(manifest, path, progress)


def load(name: str, folder: Path | None = None) -> Image:
    """Fetch a data set and read it as an image.

    Raises
    ------
    LimsupError
        As `fetch` and `read_image`; also if the manifest says that it is no image.
    """
    if find_manifest(name, folder).loader != "image":
        raise LimsupError(
            f"data set {name}", got="no single image", do="use fetch, which gives the path"
        )
    return read_image(fetch(name, folder))


def _check_space(manifest: Manifest, target: Path) -> None:
    existing = next(parent for parent in (target, *target.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < manifest.bytes:
        raise LimsupError(
            f"data set {manifest.name}",
            got=f"{free / 1e6:.0f} MB free in {existing}",
            expected=f"{manifest.bytes / 1e6:.0f} MB",
            do=f"free some space, or set {CACHE_VARIABLE} to a folder on another disk",
        )


def _download(manifest: Manifest, path: Path, progress: bool) -> Path:
    pooch.get_logger().setLevel(logging.WARNING)
    known = None if manifest.checksum == UNVERIFIED else manifest.checksum
    try:
        fetched = pooch.retrieve(
            manifest.url, known, fname=path.name, path=path.parent, progressbar=progress
        )
    except ValueError as error:
        raise LimsupError(
            f"data set {manifest.name}",
            got=f"a file from {manifest.url} whose checksum is not that of the manifest",
            expected=manifest.checksum,
            do="nothing was kept; try again, and tell the publisher if it stays so",
        ) from error
    except OSError as error:
        reason = " ".join(str(error).split())[:160]
        raise LimsupError(
            f"data set {manifest.name}",
            got=f"no download from {manifest.url} ({reason})",
            do="check the network and the address, then try again",
        ) from error
    return Path(fetched)
