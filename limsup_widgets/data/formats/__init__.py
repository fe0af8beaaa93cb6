"""One module per file format, each with `read(path) -> Raw`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from numpy.typing import NDArray

from limsup_widgets.data.image import Axes
from limsup_widgets.errors import LimsupError


@dataclass(frozen=True, eq=False)
class Raw:
    """Pixels as a file holds them, before intensities are scaled.

    Attributes are those of :class:`limsup_widgets.data.image.Image`; `array` has any type.
    """

    array: NDArray
    axes: Axes
    spacing: tuple[float, ...] | None = None
    affine: NDArray | None = None
    notes: tuple[str, ...] = ()


@contextmanager
def reading(path: Path, kind: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn what a decoder raises on a damaged file into one line that names the file."""
    try:
        yield
    except LimsupError:
        raise
    except errors as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise LimsupError(
            str(path),
            got=f"no complete {kind} file ({reason})",
            do="open it in another program to see whether it is damaged or has the wrong extension",
        ) from error
