import numpy as np
import pytest
import torch
from learn.toys import random_input, tiny_unet
from torch import nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.dropout import dropout_masks, has_dropout, live_dropouts, mask

SHAPE = torch.Size((1, 64, 5, 6))


def test_values():
    values = mask(nn.Dropout2d(0.2), 0, torch.Size((1, 4000, 2, 2)), 0, 0)
    assert set(values.unique().tolist()) == {0.0, 1.25}
    assert values.mean().item() == pytest.approx(1, abs=0.03)
    assert (mask(nn.Dropout2d(1.0), 0, SHAPE, 0, 0) == 0).all()


def test_values_pinned():
    kept = mask(nn.Dropout2d(0.5), 1, torch.Size((1, 12, 9, 9)), seed=7, number=3).flatten() > 0
    assert "".join("01"[k] for k in kept) == "010001100110"


def test_values_function_of_seed_pass_layer():
    def drawn(seed, number, index):
        return mask(nn.Dropout2d(0.5), index, SHAPE, seed, number)

    torch.manual_seed(1)
    first = drawn(0, 0, 0)
    torch.manual_seed(2)
    assert torch.equal(drawn(0, 0, 0), first)
    others = [drawn(1, 0, 0), drawn(0, 1, 0), drawn(0, 0, 1)]
    assert not any(torch.equal(other, first) for other in others)
    assert not torch.equal(others[0], others[1]) and not torch.equal(others[1], others[2])


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Dropout1d(0.5), (1, 8, 5)),
        (nn.Dropout2d(0.5), (1, 8, 5, 5)),
        (nn.Dropout3d(0.5), (1, 8, 2, 2, 2)),
        (nn.Dropout(0.5), (1, 8, 5, 5)),
    ],
)
def test_shapes(layer, shape):
    whole = not isinstance(layer, nn.Dropout)
    expected = (1, 8, *(1 for _ in shape[2:])) if whole else shape
    assert mask(layer, 0, torch.Size(shape), 0, 0).shape == expected


def test_values_whole_channels_whatever_the_size():
    small, large = (mask(nn.Dropout2d(0.5), 0, torch.Size((1, 9, n, n)), 0, 0) for n in (2, 50))
    assert torch.equal(small, large)


def test_equivalence_batch():
    net, x = tiny_unet(p_drop=0.4, dropout_at=("bottleneck", "full")), random_input()[None]
    with torch.no_grad():
        with dropout_masks(net, 5, [2, 0, 9]):
            together = net(x.expand(3, -1, -1, -1))
        for row, number in zip(together, [2, 0, 9], strict=True):
            with dropout_masks(net, 5, [number]):
                torch.testing.assert_close(net(x)[0], row, rtol=0, atol=1e-5)


def test_hooks_are_removed():
    net, x = tiny_unet(p_drop=0.4), random_input()[None]
    before, state = net(x), torch.get_rng_state()
    with pytest.raises(KeyError), dropout_masks(net, 0, [0]):
        assert not torch.equal(net(x), before)
        raise KeyError
    assert torch.equal(net(x), before) and not net.training
    assert torch.equal(torch.get_rng_state(), state)


def test_values_live():
    net = nn.Sequential(nn.Dropout(0.1), nn.Dropout2d(0.0), nn.Sequential(nn.Dropout3d(0.3)))
    assert [m.p for m in live_dropouts(net)] == [0.1, 0.3]
    assert has_dropout(net) and not has_dropout(tiny_unet())


def test_errors():
    for net in (tiny_unet(), nn.Sequential(nn.Dropout(0.0)), nn.Sequential(nn.AlphaDropout(0.5))):
        with pytest.raises(LimsupError, match=r"network: got no live dropout\. Do: use U0\^D"):
            live_dropouts(net)


def test_values_are_numpys():
    keep = np.random.default_rng((0, 4, 2)).random((1, 64, 1, 1)) < 0.75
    assert np.allclose(mask(nn.Dropout2d(0.25), 2, SHAPE, 0, 4), keep / 0.75)
