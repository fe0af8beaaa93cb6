import numpy as np
import pytest
import torch
from learn.toys import random_input, tiny_unet
from torch import nn

from limsup_widgets.learn.infer import codes, evaluating, predict

HALO = 64
"""Beyond the receptive field, which reaches 58 pixels to each side."""


def test_values():
    net, x = tiny_unet(), random_input(shape=(3, 32, 48))
    prob = predict(net, x)
    assert prob.shape == (3, 32, 48) and prob.dtype == np.float32
    assert np.allclose(prob.sum(0), 1, atol=1e-6)
    assert np.array_equal(prob, net(x[None])[0].softmax(0).detach().numpy())
    assert np.array_equal(codes(prob), prob.argmax(0) + 1) and codes(prob).dtype == np.uint8


@pytest.mark.parametrize("shape", [(1, 1), (7, 33), (31, 8)])
def test_shapes_odd(shape):
    assert predict(tiny_unet(), random_input(shape=(3, *shape))).shape == (3, *shape)


def test_shapes_foreign_network_is_padded_to_32():
    seen = []
    net = nn.Conv2d(3, 2, 1)
    net.register_forward_hook(lambda module, args, out: seen.append(tuple(args[0].shape)))
    assert predict(net, random_input(shape=(3, 33, 5))).shape == (2, 33, 5)
    assert seen == [(1, 3, 64, 32)]


def patch_difference(dy, dx):
    """Largest difference between a patch's prediction and the image's, far from the border."""
    net, x = tiny_unet(), random_input(shape=(3, 168, 176))
    whole, size = predict(net, x), 2 * HALO + 16
    patch = predict(net, x[:, dy : dy + size, dx : dx + size].contiguous())
    inside = np.s_[:, dy + HALO : dy + HALO + 16, dx + HALO : dx + HALO + 16]
    return np.abs(patch[:, HALO:-HALO, HALO:-HALO] - whole[inside]).max()


def test_equivalence_patch_on_the_pooling_grid():
    assert patch_difference(8, 16) < 1e-5
    assert min(patch_difference(4, 16), patch_difference(8, 17), patch_difference(1, 0)) > 1e-4


def test_modes_are_put_back():
    net = tiny_unet().train()
    net.encoder[0].eval()
    before = [m.training for m in net.modules()]
    predict(net, random_input())
    assert [m.training for m in net.modules()] == before
    with pytest.raises(RuntimeError, match="channels"):
        predict(net, random_input(shape=(1, 16, 16)))
    assert [m.training for m in net.modules()] == before
    with evaluating(net):
        assert not any(m.training for m in net.modules()) and not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
