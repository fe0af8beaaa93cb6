"""`limsup apply`: one tuned network on a folder of images."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from limsup_widgets.data.image import Image
from limsup_widgets.data.readers import find_images, image_name, read_image
from limsup_widgets.data.tiled_labels import TiledLabels
from limsup_widgets.errors import LimsupError
from limsup_widgets.labelling import AreaTable, Result, label_image
from limsup_widgets.learn.weights import load_model
from limsup_widgets.session.export import write_like
from limsup_widgets.session.predictions import on_best_device

TABLE = "areas.csv"
_ENDS = (".tif", ".nii.gz")


@dataclass(frozen=True)
class Summary:
    """How many images were labelled, how many failed, and the table that lists them."""

    done: int
    failed: int
    table: Path


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
        class. A large TIFF gets a tiled pyramid of labels, and no uncertainty.
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
        AreaTable(target / TABLE, network, passes) as table,
        on_best_device(network) as module,
        tqdm(names.items(), unit="image", disable=not progress) as bar,
    ):
        for path, name in bar:
            for earlier in _results(target, name):
                earlier.unlink()
            try:
                image = read_image(path)
                result = label_image(module, image, passes, seed, progress)
                _write(target, name, result, image)
            except (LimsupError, OSError, RuntimeError, MemoryError) as error:
                # RuntimeError is what torch raises, also when the accelerator is out of memory.
                reason = " ".join(str(error).split()) or type(error).__name__
                said = reason if path.name in reason else f"{path.name}: {reason}"
                bar.write(f"limsup: {said}", file=sys.stderr)
                table.add(path, said, None)
                continue
            table.add(path, "ok", result)
            done += 1
    return Summary(done, len(names) - done, target / TABLE)


def _write(target: Path, name: str, result: Result, image: Image) -> None:
    stem = target / f"{name}.labels"
    if isinstance(result.labels, TiledLabels):
        result.labels.write(stem.with_name(stem.name + ".tif"))
    else:
        write_like(stem, result.labels, image)
    if result.uncertainty is not None:
        write_like(target / f"{name}.uncertainty", result.uncertainty, image)


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
    table = [target / TABLE] if (target / TABLE).exists() else []
    earlier = [*table, *(file for name in names for file in _results(target, name))]
    if earlier and not overwrite:
        raise LimsupError(
            str(target),
            got=f"{len(earlier)} earlier results, e.g. {earlier[0].name}",
            do="name another folder with --out, or say --overwrite",
        )


def _results(target: Path, name: str) -> list[Path]:
    """What an earlier run has written for the image of that name."""
    files = [target / f"{name}.{kind}{end}" for kind in ("labels", "uncertainty") for end in _ENDS]
    return [file for file in files if file.exists()]
