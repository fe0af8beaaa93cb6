"""`limsup apply`: one tuned network on a folder of images."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from limsup_widgets.data.image import Image
from limsup_widgets.data.readers import find_images, image_name, read_image
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.biomarker import area_fractions
from limsup_widgets.learn.dropout import has_dropout
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.moments import mc_moments
from limsup_widgets.learn.weights import ModelCard, load_model, model_sha256
from limsup_widgets.session.export import write_like
from limsup_widgets.session.predictions import deterministic_moments, on_best_device

TABLE = "areas.csv"
_ENDS = (".tif", ".nii.gz")


@dataclass(frozen=True)
class Summary:
    """How many images were labelled, how many failed, and the table that lists them."""

    done: int
    failed: int
    table: Path


@dataclass(frozen=True, eq=False)
class Result:
    """Labels (codes 1…K) and uncertainty of one image, each (H, W) or (D, H, W)."""

    labels: NDArray[np.uint8]
    uncertainty: NDArray[np.float32]


def apply_model(
    model: str | Path,
    folder: str | Path,
    out: str | Path,
    *,
    passes: int = 20,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = False,
) -> Summary:
    """Label every image of a folder; a bad one is reported and does not stop the rest.

    Parameters
    ----------
    model
        File of a limsup network (.safetensors); its card names the classes.
    folder
        Images as `find_images` finds them. Never written to.
    out
        Gets ``<name>.labels`` (uint8, codes 1…K) and ``<name>.uncertainty`` (float32, V summed
        over classes, at most 1 − 1/K) per image, as TIFF, or as NIfTI where the image has an
        affine, and ``areas.csv``: one row per image with its status and the area fraction of each
        class.
    passes, seed
        Of Monte Carlo dropout. Without dropout in the network it is one pass, and V says only how
        undecided that pass is.
    overwrite
        Replace earlier results instead of refusing.
    progress
        Show a bar.

    Raises
    ------
    LimsupError
        For a model that cannot be used, a folder without images, or results that exist already.
    """
    source, target = Path(folder).expanduser(), Path(out).expanduser()
    network = load_model(Path(model).expanduser())
    names = _output_names(find_images(source))
    _check_target(source, target, list(names.values()), overwrite)
    target.mkdir(parents=True, exist_ok=True)
    done = 0
    with (
        _Table(target / TABLE, network, passes) as table,
        on_best_device(network) as module,
        tqdm(names.items(), unit="image", disable=not progress) as bar,
    ):
        for path, name in bar:
            try:
                image = read_image(path)
                result = label_image(module, image, passes, seed)
                write_like(target / f"{name}.labels", result.labels, image)
                write_like(target / f"{name}.uncertainty", result.uncertainty, image)
            except (LimsupError, OSError, RuntimeError, MemoryError) as error:
                # RuntimeError is what torch raises, also when the accelerator is out of memory.
                reason = " ".join(str(error).split()) or type(error).__name__
                said = reason if path.name in reason else f"{path.name}: {reason}"
                bar.write(f"limsup: {said}", file=sys.stderr)
                table.add(path, reason, None)
                continue
            table.add(path, "ok", result)
            done += 1
    return Summary(done, len(names) - done, target / TABLE)


def label_image(module: nn.Module, image: Image, passes: int = 20, seed: int = 0) -> Result:
    """Most probable class and uncertainty V of an image; a volume plane by plane.

    Raises
    ------
    LimsupError
        If the network was made for another number of channels.
    """
    card = _card(module)
    if image.channels != len(card.mean):
        raise LimsupError(
            str(image.path or image.name),
            got=f"{image.channels} channel(s)",
            expected=f"{len(card.mean)} as the network was tuned on",
            do="convert the image, or tune a network on images of this kind",
        )
    parts = [_label_plane(module, card, plane, passes, seed) for plane in image.planes()]
    if not image.is_volume:
        return parts[0]
    return Result(
        np.stack([part.labels for part in parts]), np.stack([part.uncertainty for part in parts])
    )


def _label_plane(
    module: nn.Module, card: ModelCard, plane: Image, passes: int, seed: int
) -> Result:
    x = card.normalizer(plane.array)
    prob = predict(module, x)
    live = has_dropout(module)
    moments = mc_moments(module, x, passes, seed) if live else deterministic_moments(prob)
    return Result(codes(prob), moments.kind("V").astype(np.float32))


def _card(module: nn.Module) -> ModelCard:
    card = getattr(module, "card", None)
    if not isinstance(card, ModelCard):
        raise LimsupError("network", got="no card", expected="a file written by limsup")
    return card


def _output_names(paths: Sequence[Path]) -> dict[Path, str]:
    """A name for the results of each image; the extension joins where two would share one."""
    plain = [image_name(path) for path in paths]
    unique = [
        name if plain.count(name) == 1 else path.name
        for path, name in zip(paths, plain, strict=True)
    ]
    return {path: re.sub(r"[^\w.-]+", "_", name) for path, name in zip(paths, unique, strict=True)}


def _check_target(source: Path, target: Path, names: Sequence[str], overwrite: bool) -> None:
    if target.resolve() == source.resolve():
        raise LimsupError(
            str(target),
            got="the folder of the images",
            expected="a folder for results",
            do="name another folder with --out",
        )
    if target.exists() and not target.is_dir():
        raise LimsupError(str(target), got="a file", expected="a folder for results")
    kinds = [f"{name}.{kind}" for name in names for kind in ("labels", "uncertainty")]
    stems = [target / stem for stem in kinds]
    files = [target / TABLE, *(stem.with_name(stem.name + end) for stem in stems for end in _ENDS)]
    earlier = [file for file in files if file.exists()]
    if earlier and not overwrite:
        raise LimsupError(
            str(target),
            got=f"{len(earlier)} earlier results, e.g. {earlier[0].name}",
            do="name another folder with --out, or say --overwrite",
        )


class _Table:
    """The CSV file, written row by row so that nothing is lost when a long run is stopped."""

    def __init__(self, path: Path, network: nn.Module, passes: int) -> None:
        self.classes = _card(network).classes
        self.passes = passes if has_dropout(network) else 1
        self.model = model_sha256(network)
        self.path = path

    def __enter__(self) -> _Table:
        self.file = self.path.open("w", newline="", encoding="utf-8")
        self.rows = csv.writer(self.file)
        head = ("image", "status", *self.classes, "mean_uncertainty", "pixels", "passes", "model")
        self._write(head)
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def add(self, path: Path, status: str, result: Result | None) -> None:
        """One image: its fractions, or empty fields if it failed."""
        self._write((path.name, status, *self._numbers(result), self.passes, self.model))

    def _numbers(self, result: Result | None) -> Iterator[Any]:
        if result is None:
            yield from [""] * (len(self.classes) + 2)
            return
        for fraction in area_fractions(result.labels, len(self.classes)):
            yield f"{fraction:.6f}"
        yield f"{result.uncertainty.mean():.6f}"
        yield result.labels.size

    def _write(self, row: Sequence[Any]) -> None:
        self.rows.writerow(row)
        self.file.flush()
