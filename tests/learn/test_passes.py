"""The fast passes are the naive ones, for any network, and never those of yesterday's weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn import dropout, passes, tape
from limsup_widgets.learn.moments import mc_passes
from limsup_widgets.learn.passes import pass_batches
from limsup_widgets.learn.unet import PLACES, UNet

X = torch.randn(3, 32, 40, generator=torch.Generator().manual_seed(0))


def seeded(make):
    torch.manual_seed(0)
    model = make().train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            # A fresh norm scales by 1 and adds 0: forgetting either would not show.
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    with torch.no_grad():
        model(torch.randn(4, 3, 32, 40))
    return model.eval()


def ours(model, passes=5, **options):
    return torch.cat(list(pass_batches(model, X, passes, **options)))


def naive(model, passes=5):
    return torch.stack(list(mc_passes(model, X, passes)))


def said(model, **options):
    told = []
    ours(model, 2, say=told.append, **options)
    (line,) = told
    return line


class Small(nn.Module):
    """A convolution, dropout, and what `tail` makes of it."""

    divisor = 8

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.drop, self.last = nn.Dropout2d(0.4), nn.Conv2d(6, 2, 3, padding=1)

    def tail(self, x, dropped):
        return self.last(dropped)

    def forward(self, x):
        x = F.relu(self.norm(self.first(x)))
        return self.tail(x, self.drop(x))


class InPlace(Small):
    def tail(self, x, dropped):
        dropped += x
        return self.last(dropped.relu_())


class Twice(Small):
    def tail(self, x, dropped):
        return self.last(self.drop(self.norm(dropped)) + self.norm(dropped))


class Joined(Small):
    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(12, 2, 3, padding=1, bias=False)

    def tail(self, x, dropped):
        return self.last(torch.cat([x, dropped], 1))


class JoinedBothUsed(Joined):
    def tail(self, x, dropped):
        joined = torch.cat([dropped, x], 1)
        return self.last(joined) + joined.mean(1, keepdim=True)


class Reshaped(Small):
    def tail(self, x, dropped):
        n, c, h, w = dropped.shape
        flat = dropped.reshape(n, c, h * w).transpose(1, 2)
        return self.last((flat @ flat.new_ones(c, c)).transpose(1, 2).reshape(n, c, h, w))


class BatchBuiltIn(Small):
    """Reads its batch size once and relies on it: other sizes than the recorded one fail."""

    def tail(self, x, dropped):
        n, c, h, w = dropped.shape
        return self.last(dropped.reshape(n * c, h, w).reshape(n, c, h, w).contiguous())


class Elements(Small):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.3)


class ReluOfAlias(Small):
    """What the ReLU gets is handed on by a second dropout, and read again afterwards."""

    def __init__(self):
        super().__init__()
        self.off = nn.Dropout2d(0.0)

    def tail(self, x, dropped):
        y = self.last(dropped)
        return F.relu(self.off(y)) - y


class SharedChangedLater(Small):
    def tail(self, x, dropped):
        y = dropped * x
        x.add_(1)
        return self.last(y + x)


class SharedChangedByPass(Small):
    def tail(self, x, dropped):
        x += dropped
        return self.last(x)


class Decides(Small):
    def tail(self, x, dropped):
        return self.last(dropped if dropped.mean().item() > -9 else x)


class FirstRowOnly(Small):
    def tail(self, x, dropped):
        return self.last(dropped - dropped[:1] + x)


REPEATED = (
    BatchBuiltIn,
    InPlace,
    Twice,
    Joined,
    JoinedBothUsed,
    Reshaped,
    Elements,
    Small,
    ReluOfAlias,
)
WHOLE = (SharedChangedLater, SharedChangedByPass, Decides, FirstRowOnly)


@pytest.mark.parametrize("kind", REPEATED)
@pytest.mark.parametrize("batch", [1, 3, None])
def test_equivalence(kind, batch):
    model = seeded(kind)
    torch.testing.assert_close(ours(model, batch=batch), naive(model), atol=1e-5, rtol=0)
    assert "run once" in said(model)


@pytest.mark.parametrize("kind", WHOLE)
def test_equivalence_what_cannot_be_repeated_runs_whole(kind):
    model = seeded(kind)
    torch.testing.assert_close(ours(model, batch=2), naive(model), atol=1e-5, rtol=0)
    assert said(model, batch=2).startswith("the whole network in every pass: ")


@pytest.mark.parametrize("place", PLACES)
def test_equivalence_unet(place):
    model = seeded(lambda: UNet(widths=(4, 6, 8, 8), p_drop=0.3, dropout_at=[place]))
    torch.testing.assert_close(ours(model, batch=2), naive(model), atol=1e-5, rtol=0)


def monai_nets():
    from monai.networks.nets import BasicUNet, SegResNet
    from monai.networks.nets import UNet as MonaiUNet

    shape = {"spatial_dims": 2, "in_channels": 3, "out_channels": 3}
    levels = {"channels": (4, 8, 8), "strides": (2, 2), "dropout": 0.2}
    return {
        "BasicUNet": lambda: BasicUNet(**shape, features=(4, 4, 8, 8, 8, 4), dropout=0.2),
        "UNet": lambda: MonaiUNet(**shape, **levels, num_res_units=2),
        "UNet, batch norm": lambda: MonaiUNet(**shape, **levels, norm="batch"),
        "SegResNet": lambda: SegResNet(**shape, init_filters=8, dropout_prob=0.2),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["BasicUNet", "UNet", "UNet, batch norm", "SegResNet"])
def test_equivalence_monai(name):
    model = seeded(monai_nets()[name])
    torch.testing.assert_close(ours(model, batch=2), naive(model), atol=1e-5, rtol=0)
    assert "run once" in said(model, batch=2)


def test_values_the_late_dropout_leaves_little_to_repeat():
    model = seeded(lambda: UNet(widths=(4, 6, 8, 8), p_drop=0.3, dropout_at=["half"]))
    repeated, _, calls = said(model).split()[:3]
    assert int(repeated) < int(said(model).split()[2]) / 4, calls


def test_values_norms_are_folded_and_skips_run_once():
    model = seeded(lambda: UNet(widths=(4, 6, 8, 8), p_drop=0.3, dropout_at=["half"]))
    # mask, reduce, convolution of the doubled map, relu, convolution, relu, head
    assert said(model).startswith("7 of ")


def test_values_a_wrong_replay_is_noticed(monkeypatch):
    model = seeded(Joined)
    monkeypatch.setattr(passes, "_CHECKED", {})
    monkeypatch.setattr(tape, "mask", lambda *arguments: torch.ones_like(dropout.mask(*arguments)))
    torch.testing.assert_close(ours(model, batch=1)[1:], naive(model)[1:], atol=1e-5, rtol=0)
    assert said(model).endswith("differs from one of the whole network")


def test_values_new_weights_are_seen():
    model = seeded(Joined)
    before = ours(model)
    with torch.no_grad():
        model.last.weight.mul_(-1)
        model.norm.running_mean.add_(0.5)
    after = ours(model)
    assert (before - after).abs().max() > 1e-3
    torch.testing.assert_close(after, naive(model), atol=1e-5, rtol=0)


def test_values_the_mode_is_put_back():
    model = seeded(Small).train()
    model.norm.eval()
    ours(model)
    assert model.training and model.last.training and not model.norm.training
    torch.testing.assert_close(ours(model), naive(model), atol=1e-5, rtol=0)
    assert not model.drop._forward_hooks


def test_values_stopping_early_leaves_no_hook():
    model = seeded(Small)
    batches = pass_batches(model, X, 6, batch=2)
    next(batches)
    batches.close()
    assert not model.drop._forward_hooks and not torch.is_inference_mode_enabled()


def test_shapes():
    model = seeded(Small)
    shapes = [tuple(b.shape) for b in pass_batches(model, X[:, :30, :37], 6, batch=3)]
    assert shapes == [(n, 2, 30, 37) for n in (2, 3, 1)]


def test_errors():
    class Bare(Small):
        def __init__(self):
            super().__init__()
            self.drop = nn.Identity()

    with pytest.raises(LimsupError, match="no live dropout"):
        ours(seeded(Bare))

    class Broken(Small):
        def tail(self, x, dropped):
            return self.last(dropped[:, :2])

    with pytest.raises(RuntimeError, match="channels"):
        ours(Broken().eval())


def test_values_out_of_memory_halves_the_batch_and_goes_on(monkeypatch):
    model, told, whole_replay = seeded(Small), [], passes.replay

    def small_machine(steps, size, output, masks):
        if max(len(m) for m in masks.values()) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole_replay(steps, size, output, masks)

    expected = ours(model, 9, batch=8)
    monkeypatch.setattr(passes, "replay", small_machine)
    torch.testing.assert_close(ours(model, 9, batch=8, say=told.append), expected)
    assert [line for line in told if "memory" in line] == [
        f"out of memory: going on with {count} passes at a time" for count in (4, 2)
    ]


def test_errors_one_pass_does_not_fit(monkeypatch):
    def no_machine(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    model = seeded(Small)
    ours(model, 3, batch=1)
    monkeypatch.setattr(passes, "replay", no_machine)
    with pytest.raises(torch.OutOfMemoryError):
        ours(model, 3, batch=1)


def test_values_maps_of_the_recorded_passes_are_let_go():
    """All of them at once are gigabytes for a large image."""
    model = seeded(Small)
    with torch.no_grad(), tape.recording(model, 0, [0, 1]) as recorded:
        logits = model(X[None])
    assert recorded.size > 1 and set(recorded._slot) == {id(logits)}
