import pytest
import torch
from learn.toys import random_input, tiny_unet

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.dropout import dropout_masks
from limsup_widgets.learn.unet import PLACES, UNet


@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 4), (5, 7)])
def test_shapes(channels, classes):
    net = tiny_unet(in_channels=channels, classes=classes)
    x = torch.zeros(2, channels, 24, 40)
    assert net(x).shape == (2, classes, 24, 40)
    assert [f.shape[1:] for f in net.features(x)] == [
        (10, 3, 5),
        (8, 6, 10),
        (6, 12, 20),
        (4, 24, 40),
    ]


def test_values_size():
    assert sum(p.numel() for p in UNet().parameters()) == 253_804 < 1_000_000


def test_equivalence_features():
    net, x = tiny_unet(p_drop=0.3), random_input()[None]
    assert torch.equal(net.head(net.features(x)[-1]), net(x))


def test_equivalence_weights_with_and_without_dropout():
    plain, dropping = tiny_unet(), tiny_unet(seed=1, p_drop=0.3, dropout_at=PLACES)
    dropping.load_state_dict(plain.state_dict())
    x = random_input()[None]
    assert torch.equal(plain(x), dropping(x))


@pytest.mark.parametrize("place", PLACES)
def test_prefix_holds_no_dropout(place):
    net, x = tiny_unet(p_drop=0.5, dropout_at=[place]), random_input()[None]
    plain, prefix = net(x), net.prefix(x)
    with dropout_masks(net, seed=0, passes=[3]):
        assert all(torch.equal(a, b) for a, b in zip(net.prefix(x), prefix, strict=True))
        assert not torch.allclose(net.suffix(prefix), plain)


def test_prefix_is_as_long_as_it_can_be():
    sizes = [
        len(tiny_unet(p_drop=0.5, dropout_at=[p]).prefix(random_input()[None])) for p in PLACES
    ]
    assert sizes == [4, 3, 2, 1]
    assert tiny_unet().split == len(PLACES)


def test_errors():
    with pytest.raises(LimsupError, match=r"dropout_at: got \['halff'\], expected bottleneck"):
        UNet(p_drop=0.2, dropout_at=("half", "halff"))
    with pytest.raises(LimsupError, match="widths: got 3 levels, expected 4"):
        UNet(widths=(4, 8, 16))
