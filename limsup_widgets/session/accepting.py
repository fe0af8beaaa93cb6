"""Accept: the result as the user sees it, written where other programs can read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.weights import ModelCard, save_model
from limsup_widgets.session.case import Case
from limsup_widgets.session.export import Maps, write_fractions, write_maps


def with_scribbles(codes: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Predicted ``codes`` with the user's ``labels`` on top: where someone painted, that holds."""
    return np.where(labels > 0, labels, codes).astype(np.uint8)


def write_accepted(
    folder: Path,
    case: Case,
    codes: Maps,
    uncertainty: Maps,
    model: tuple[nn.Module, str, ModelCard],
) -> list[Path]:
    """Write labels, uncertainty (float32), ``fractions.csv`` and ``model.safetensors``.

    Parameters
    ----------
    folder
        Made if it is not there; files of the same name are replaced, each in one piece.
    codes, uncertainty
        ``(H, W)`` per index of an image of ``case``.
    model
        Module, checksum and card of the network that made them.

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
            write_fractions(folder / "fractions.csv", case, codes, sha256),
            save_model(folder / "model.safetensors", module, card),
        ]
    except OSError as error:
        raise LimsupError(
            f"folder {folder}", got=error.strerror or str(error), do="make room or choose another"
        ) from error
