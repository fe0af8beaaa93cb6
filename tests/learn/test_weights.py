import json
from pathlib import Path

import numpy as np
import pytest
import torch
from learn.toys import random_input, tiny_unet
from safetensors.torch import save_file
from torch import nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn import weights
from limsup_widgets.learn.dropout import live_dropouts
from limsup_widgets.learn.infer import predict
from limsup_widgets.learn.weights import ModelCard, load_model, load_u0, model_sha256, save_model

CARD = ModelCard(
    "toy", ("a", "b", "ç"), (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), 7, "make toy", {"set": [0.5, 0.25]}
)


@pytest.mark.parametrize("options", [{}, {"p_drop": 0.3, "dropout_at": ("bottleneck", "full")}])
def test_roundtrip(tmp_path, options):
    net, x = tiny_unet(**options).train(), random_input()
    path = save_model(tmp_path / "new" / "net.safetensors", net, CARD)
    again = load_model(path)
    assert np.array_equal(predict(again, x), predict(net, x)) and not again.training
    assert again.card == CARD and again.card.normalizer.mean == CARD.mean
    assert (again.p_drop, again.dropout_at) == (net.p_drop, net.dropout_at)
    assert model_sha256(again) == model_sha256(net)
    assert [p.name for p in path.parent.iterdir()] == ["net.safetensors"]


def foreign(tied=False):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
    if tied:
        net[1].weight = net[0].weight
    return net


@pytest.mark.parametrize("tied", [False, True])
def test_roundtrip_foreign(tmp_path, tied):
    net, x = foreign(tied), random_input()
    path = save_model(tmp_path / "net.safetensors", net, CARD)
    other = foreign(tied)
    nn.init.zeros_(other[0].weight)
    assert np.array_equal(predict(load_model(path, other), x), predict(net, x))
    with pytest.raises(LimsupError, match=r"Sequential\. Do: pass model="):
        load_model(path)
    with pytest.raises(LimsupError, match=r"expected weights of torch\.nn"):
        load_model(path, tiny_unet())


def test_roundtrip_replaces_in_one_piece(tmp_path, monkeypatch):
    path = save_model(tmp_path / "net.safetensors", tiny_unet(), CARD)
    before = path.read_bytes()
    save_model(path, tiny_unet(seed=1), CARD)
    after = path.read_bytes()
    assert after != before

    def full_disk(_):
        raise OSError("no space left")

    monkeypatch.setattr(weights.os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_model(path, tiny_unet(), CARD)
    assert path.read_bytes() == after


def test_values_sha():
    net, other_card = tiny_unet(), tiny_unet()
    weights.set_card(other_card, CARD)
    assert model_sha256(net) == model_sha256(other_card) == model_sha256(tiny_unet().train())
    before = model_sha256(net)
    net.head.bias.data[0] += 1e-6
    moved = model_sha256(net)
    net.encoder[0][1].running_mean[0] += 1
    assert len({before, moved, model_sha256(net), model_sha256(tiny_unet(seed=1))}) == 4
    blank = [nn.Conv2d(*c, 1, bias=False) for c in ((2, 3), (3, 2))]
    for conv in blank:
        nn.init.zeros_(conv.weight)
    assert model_sha256(blank[0]) != model_sha256(blank[1])


def error(path, **options):
    with pytest.raises(LimsupError) as caught:
        load_model(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_errors_files(tmp_path):
    path = tmp_path / "net.safetensors"
    assert "no such file" in error(path) and "no such file" in error(tmp_path)
    for wrong in (b"", b"a text file, named like a model\n" * 9, bytes(64)):
        path.write_bytes(wrong)
        assert "expected a safetensors file written by limsup" in error(path)


@pytest.mark.parametrize("kept", [0.001, 0.01, 0.5, 0.999])
def test_errors_torn_file(tmp_path, kept):
    path = save_model(tmp_path / "net.safetensors", tiny_unet(), CARD)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    assert "expected a safetensors file" in error(path)


@pytest.mark.parametrize(
    "meta",
    [
        None,
        {"architecture": "{}"},
        {"card": "{"},
        {"card": json.dumps({"name": "x", "colour": 1}), "architecture": "{}"},
        {"card": json.dumps({"name": "x", "classes": [], "mean": [], "std": []})},
    ],
)
def test_errors_card(tmp_path, meta):
    path = tmp_path / "net.safetensors"
    save_file({"a": torch.zeros(2)}, path, metadata=meta)
    assert "no card" in error(path) and "expected a file written by limsup" in error(path)


def test_errors_weights_of_another_size(tmp_path):
    path = save_model(tmp_path / "net.safetensors", tiny_unet(), CARD)
    line = error(path, model=tiny_unet(classes=5))
    assert "size mismatch for head.weight" in line and "\n" not in line


@pytest.mark.parametrize("dropout", [False, True])
def test_shipped(dropout):
    net = load_u0(dropout)
    assert net.classes == len(net.card.classes) == 4 and net.in_channels == len(net.card.mean) == 3
    assert sum(p.numel() for p in net.parameters()) <= 1_000_000 and not net.training
    if dropout:
        assert len(live_dropouts(net)) == 2
    assert net.card.command and net.card.dice
    assert predict(net, random_input()).shape == (4, 40, 56)


def test_shipped_are_small():
    files = sorted(Path(weights.SHIPPED).glob("*.safetensors"))
    assert [f.name for f in files] == ["u0.safetensors", "u0d.safetensors"]
    assert max(f.stat().st_size for f in files) <= 3_000_000
