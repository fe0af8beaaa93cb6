from dataclasses import replace

import numpy as np
import pytest
import torch
from learn.toys import random_input, tiny_unet
from torch import nn
from torch.nn import functional as F

from limsup_widgets.learn.infer import predict
from limsup_widgets.learn.levels import FLOOR, levels_of
from limsup_widgets.learn.logistic import Logistic
from limsup_widgets.learn.rivals import deep_features, multiscale


def basic_unet(classes=3):
    from monai.networks.nets import BasicUNet

    torch.manual_seed(0)
    return BasicUNet(2, 3, classes, features=(4, 6, 8, 10, 12, 4)).eval()


def monai_unet():
    from monai.networks.nets import UNet

    torch.manual_seed(0)
    return UNet(2, 3, 5, (4, 8, 12), (2, 2), num_res_units=2).eval()


class TwoHeads(nn.Module):
    """The layer registered last belongs to a head that is not used."""

    def __init__(self):
        super().__init__()
        self.body, self.used = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 1)
        self.unused = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return self.used(self.body(x).relu())


def stacked(levels):
    """All levels upsampled to the padded input and cut to the image, ``(H, W, F)``."""
    size = levels.padded
    maps = [F.interpolate(f, size=size, mode="bilinear", align_corners=False) for f in levels.maps]
    return torch.cat(maps, 1)[0, :, : levels.shape[0], : levels.shape[1]].movedim(0, -1)


def test_equivalence_deep_features():
    net, x = tiny_unet().train(), random_input(shape=(3, 21, 30))
    np.testing.assert_allclose(stacked(levels_of(net, x)), deep_features(net)(x), atol=1e-6)
    assert all(m.training for m in net.modules())


@pytest.mark.parametrize("make", [tiny_unet, basic_unet, monai_unet, TwoHeads])
@pytest.mark.parametrize("shape", [(3, 64, 96), (3, 37, 50)])
def test_equivalence_pixels(make, shape):
    net, x = make(), random_input(shape=shape)
    levels = levels_of(net, x)
    rows, cols = (g.ravel() for g in np.indices(shape[1:]))
    found, own = levels.at(rows, cols)
    np.testing.assert_allclose(found, stacked(levels).flatten(0, 1).numpy(), atol=1e-5)
    expected = np.log(np.maximum(predict(net, x), np.exp(FLOOR)))
    np.testing.assert_allclose(own, expected.reshape(len(expected), -1).T, atol=1e-4)


@pytest.mark.parametrize("make", [tiny_unet, basic_unet, monai_unet, TwoHeads])
def test_equivalence_logits(make):
    levels = levels_of(make(), random_input(shape=(3, 37, 50)))
    maps = stacked(levels)
    rng = np.random.default_rng(0)
    fit = Logistic(rng.normal(size=(5, maps.shape[-1])), rng.normal(size=5), corrects=False)
    coef, intercept = (torch.from_numpy(a.astype(np.float32)) for a in (fit.coef, fit.intercept))
    expected = (maps @ coef.T + intercept).movedim(-1, 0)
    torch.testing.assert_close(levels.logits(fit), expected, atol=1e-4, rtol=1e-5)
    if levels.own.shape[1] == 5:
        own = levels.own[0, :, :37, :50]
        corrected = levels.logits(replace(fit, corrects=True))
        torch.testing.assert_close(corrected, expected + own, atol=1e-4, rtol=1e-5)


def test_shapes():
    x = random_input(shape=(3, 37, 50))
    found = {
        make.__name__: [tuple(f.shape[1:]) for f in levels_of(make(), x).maps]
        for make in (tiny_unet, basic_unet, monai_unet, TwoHeads)
    }
    assert found["tiny_unet"] == [(10, 5, 7), (8, 10, 14), (6, 20, 28), (4, 40, 56)]
    assert found["basic_unet"] == [
        (12, 4, 4), (10, 8, 8), (8, 16, 16), (6, 32, 32), (4, 64, 64)
    ]  # fmt: skip
    assert [sides for _, *sides in found["monai_unet"]] == [[16, 16], [32, 32], [64, 64]]
    assert found["TwoHeads"] == [(5, 64, 64)], "the logits stand in for what no layer sees"


def test_values_filters():
    """The last level, at full resolution, is scikit-image's of the padded input."""
    x = random_input(shape=(3, 40, 56))
    maps = levels_of(tiny_unet(), x, filters=True).maps
    expected = multiscale(x.movedim(0, -1).numpy())
    assert len(maps) == 5
    np.testing.assert_array_equal(maps[-1][0].movedim(0, -1), expected)


def test_values_bytes():
    levels = levels_of(tiny_unet(), random_input(shape=(3, 40, 56)))
    assert levels.nbytes == 4 * (10 * 5 * 7 + 8 * 10 * 14 + 6 * 20 * 28 + (4 + 3) * 40 * 56)
