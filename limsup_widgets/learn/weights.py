"""Model files: safetensors with a card inside, and the two networks that limsup ships."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.inputs import Normalizer
from limsup_widgets.learn.unet import UNet

SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class ModelCard:
    """What has to be known about a network to use it again.

    Attributes
    ----------
    name, classes
        Name of the network and of its classes, in the order of codes 1…K.
    mean, std
        Normalisation per input channel, after division of uint8 by 255.
    seed, command
        Seed of the training and the command that made the file.
    dice
        Recorded Dice per data set and class.
    """

    name: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    seed: int = 0
    command: str = ""
    dice: dict[str, Any] = field(default_factory=dict)

    @property
    def normalizer(self) -> Normalizer:
        """The normalisation that the network was trained with."""
        return Normalizer(tuple(self.mean), tuple(self.std))


def architecture(model: nn.Module) -> dict[str, Any]:
    """What it takes to build the module again; for a foreign one only its name."""
    if not isinstance(model, UNet):
        return {"kind": f"{type(model).__module__}.{type(model).__qualname__}"}
    return {
        "kind": "UNet",
        "in_channels": model.in_channels,
        "classes": model.classes,
        "widths": list(model.widths),
        "p_drop": model.p_drop,
        "dropout_at": list(model.dropout_at),
    }


def model_bytes(model: nn.Module, card: ModelCard) -> bytes:
    """The safetensors file of ``model`` with its card, as bytes."""
    # Cloned, since safetensors refuses tensors that share memory, as tied layers do.
    state = {k: v.detach().cpu().clone().contiguous() for k, v in model.state_dict().items()}
    meta = {"card": json.dumps(asdict(card)), "architecture": json.dumps(architecture(model))}
    return save(state, metadata=meta)


def model_sha256(model: nn.Module) -> str:
    """SHA-256 of the weights (names, shapes, values), whatever the card says."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_model(path: Path | str, model: nn.Module, card: ModelCard) -> Path:
    """Write weights and card in one piece: the file is complete or it is not there."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(path.suffix + ".part")
    with partial.open("wb") as out:
        out.write(model_bytes(model, card))
        out.flush()
        os.fsync(out.fileno())
    return partial.replace(path)


def load_model(path: Path | str, model: nn.Module | None = None) -> nn.Module:
    """Network of a model file, on the CPU, in eval mode, its card at ``.card``.

    Parameters
    ----------
    path
        A file written by :func:`save_model`.
    model
        The module to fill, for a network that is not limsup's own.

    Raises
    ------
    LimsupError
        No such file, not a model file, or a foreign network without ``model``.
    """
    path = Path(path)
    if not path.is_file():
        raise LimsupError(f"model {path}", got="no such file", do="check the path")
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise LimsupError(
            f"model {path}", got=str(error), expected="a safetensors file written by limsup"
        ) from error
    try:
        card, arch = card_from(json.loads(meta["card"])), json.loads(meta["architecture"])
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise LimsupError(
            f"model {path}", got="no card that can be read", expected="a file written by limsup"
        ) from error
    network = _filled(path, arch, state, model)
    set_card(network, card)
    return network.eval()


def _filled(
    path: Path, arch: dict[str, Any], state: dict[str, torch.Tensor], model: nn.Module | None
) -> nn.Module:
    kind = arch.pop("kind")
    if model is None and kind != "UNet":
        raise LimsupError(f"model {path}", got=kind, do="pass model=… with a module of this kind")
    network = model if model is not None else UNet(**arch)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        line = " ".join(str(error).split())[:200]
        raise LimsupError(f"model {path}", got=line, expected=f"weights of {kind}") from error
    return network


def card_from(raw: dict[str, Any]) -> ModelCard:
    """A card from its JSON object, lists turned back into tuples."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
    return ModelCard(**fields)


def set_card(model: nn.Module, card: ModelCard) -> None:
    """Put ``card`` on ``model.card``."""
    object.__setattr__(model, "card", card)


def load_u0(dropout: bool = False) -> UNet:
    """The base network: U0, or U0^D with its two dropout layers; four kidney classes.

    Trained on simulated controls by ``python -m limsup_widgets.learn.recipe``; seeds and recorded
    Dice are on ``.card``.
    """
    network = load_model(SHIPPED / ("u0d.safetensors" if dropout else "u0.safetensors"))
    assert isinstance(network, UNet)
    return network
