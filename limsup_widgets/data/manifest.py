"""What a manifest of a public data set states: where its bytes are, what may be done with them."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from limsup_widgets.errors import LimsupError
from limsup_widgets.resources import resource

UNVERIFIED = "unverified"

Checksum = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}|unverified)$")]
Address = Annotated[str, Field(pattern=r"^(package:\w+/.+|https?://.+|doi:10\..+/.+)$")]


class Manifest(BaseModel):
    """What is known of one data set.

    Attributes
    ----------
    name, title
        Short name (that of the TOML file) and one line.
    url
        ``https://…``, ``doi:10.…/file`` or ``package:module/path`` for a file that an installed
        package brings along and that needs no download.
    checksum
        ``sha256:…``, the publisher's ``md5:…``, or ``unverified``.
    bytes
        Size of the file.
    licence, terms, citation, doi
        What may be done with the data, under which conditions, and what to cite.
    loader
        How :func:`limsup_widgets.data.manifests.load` opens it: ``image`` (by `read_image`), or
        ``file`` (only the path is given).
    verified, verified_on
        Whether somebody has compared address, checksum and licence with their source, and when.

    Examples
    --------
    >>> load_manifests()["ihc"].embedded
    True
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    url: Address
    checksum: Checksum
    bytes: Annotated[int, Field(gt=0)]
    licence: str
    terms: str
    citation: str
    doi: Annotated[str, Field(pattern=r"^10\.\d+/\S+$")] | None = None
    loader: Literal["image", "file"] = "image"
    verified: bool = False
    verified_on: date | None = None

    @model_validator(mode="after")
    def _verified_means_something(self) -> Manifest:
        if self.verified and (self.verified_on is None or self.checksum == UNVERIFIED):
            raise ValueError("verified = true needs verified_on and a checksum")
        return self

    @property
    def embedded(self) -> bool:
        """Whether an installed package brings the file along."""
        return self.url.startswith("package:")

    @property
    def filename(self) -> str:
        """Name of the file, from the last part of the address."""
        return Path(urlsplit(self.url).path).name


def load_manifests(folder: Path | None = None) -> dict[str, Manifest]:
    """All manifests of a folder by name; by default those that come with limsup.

    Raises
    ------
    LimsupError
        For a file that is no TOML, or whose fields are missing, unknown or contradictory.
    """
    files = sorted((folder or resource("manifests")).glob("*.toml"))
    return {file.stem: _load(file) for file in files}


def find_manifest(name: str, folder: Path | None = None) -> Manifest:
    """The manifest of that name, or an error that lists the names there are."""
    known = load_manifests(folder)
    if name not in known:
        raise LimsupError(
            "data set", got=name, expected=", ".join(known) or "none (no manifests found)"
        )
    return known[name]


def _load(file: Path) -> Manifest:
    try:
        manifest = Manifest.model_validate(tomllib.loads(file.read_text("utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise LimsupError(str(file), got=f"no valid TOML ({error})") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'manifest'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise LimsupError(str(file), got=faults, do="correct the manifest") from error
    if manifest.name != file.stem:
        raise LimsupError(str(file), got=f"name {manifest.name!r}", expected=file.stem)
    return manifest
