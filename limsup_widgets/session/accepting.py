"""Accept: the result as the user sees it, written where other programs can read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.weights import ModelCard, save_model
from limsup_widgets.session.case import Case
from limsup_widgets.session.covered import Covered
from limsup_widgets.session.export import Maps, write_fractions, write_large, write_maps


def with_scribbles(codes: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Predicted ``codes`` with the user's ``labels`` on top: where someone painted, that holds."""
    return np.where(labels > 0, labels, codes).astype(np.uint8)


def write_accepted(
    folder: Path,
    case: Case,
    codes: Maps,
    uncertainty: Maps,
    model: tuple[nn.Module, str, ModelCard],
    large: Mapping[int, Covered] | None = None,
) -> list[Path]:
    """Write labels, uncertainty (float32), ``fractions.csv`` and ``model.safetensors``.

    Of large images labels only, and ``covered.csv``: where these were predicted.

    Parameters
    ----------
    folder
        Made if it is not there; files of the same name are replaced, each in one piece.
    codes, uncertainty
        ``(H, W)`` per index of an image of ``case``.
    model
        Module, checksum and card of the network that made them.
    large
        Labels of large images, by index.

    Raises
    ------
    LimsupError
        The folder cannot be written.
    """
    module, sha256, card = model
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [
            *write_maps(folder, case, codes, "labels"),
            *write_maps(folder, case, uncertainty, "uncertainty"),
            *write_large(folder, case, large or {}),
            write_fractions(folder / "fractions.csv", case, codes, sha256, large),
            save_model(folder / "model.safetensors", module, card),
        ]
    except OSError as error:
        raise LimsupError(
            f"folder {folder}", got=error.strerror or str(error), do="make room or choose another"
        ) from error
