import pytest
import torch
from torch.nn import functional as F

from limsup_widgets.learn.doubling import conv_of_doubled, doubled_kernel


def made(x, weight, bias):
    return conv_of_doubled(doubled_kernel(weight), weight, bias, x)


def plainly(x, weight, bias):
    large = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    return F.conv2d(large, weight, bias, padding=1)


@pytest.mark.parametrize("size", [(8, 8), (2, 2), (1, 6), (7, 3), (2, 9)])
@pytest.mark.parametrize("biased", [True, False])
def test_equivalence_also_at_the_border(size, biased):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 5, *size), torch.randn(3, 5, 3, 3)
    bias = torch.randn(3) if biased else None
    torch.testing.assert_close(made(x, weight, bias), plainly(x, weight, bias))


def test_equivalence_in_the_layout_of_a_replay():
    torch.manual_seed(1)
    x = torch.randn(1, 4, 16, 12).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(6, 4, 3, 3)
    torch.testing.assert_close(made(x, weight, None), plainly(x, weight, None))


def test_values_of_a_constant_map():
    weight = torch.ones(1, 1, 3, 3)
    y = made(torch.ones(1, 1, 4, 4), weight, None)[0, 0]
    assert y[0, 0] == 4 and y[0, 3] == 6 and y[3, 3] == 9


def test_shapes():
    assert doubled_kernel(torch.zeros(3, 5, 3, 3)).shape == (5, 3, 6, 6)
