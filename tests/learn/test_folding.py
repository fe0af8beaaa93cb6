import copy

import pytest
import torch
from learn.toys import tiny_unet
from torch import nn

from limsup_widgets.learn.folding import folded_norms

X = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def lived_in(model):
    """Norms with statistics, scales and shifts of their own."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias)
    return model.eval()


def gradients(model):
    model.zero_grad()
    out = model(X)
    (out**2).mean().backward()
    return out.detach(), [p.grad.clone() for p in model.parameters()]


def plain(affine=True, bias=True):
    norm = nn.BatchNorm2d(5, affine=affine)
    return nn.Sequential(nn.Conv2d(3, 5, 3, padding=1, bias=bias), norm, nn.ReLU())


@pytest.mark.parametrize(
    "make", [tiny_unet, plain, lambda: plain(affine=False), lambda: plain(bias=False)]
)
def test_equivalence_outputs_and_gradients(make):
    model = lived_in(make())
    out, slopes = gradients(model)
    with folded_norms(model, X[:1]) as count:
        folded_out, folded_slopes = gradients(model)
    assert count == sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    torch.testing.assert_close(folded_out, out, atol=1e-5, rtol=1e-5)
    for a, b in zip(folded_slopes, slopes, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_values_put_back_also_after_an_error():
    model = lived_in(plain())
    before = model(X)
    with pytest.raises(KeyError), folded_norms(model, X[:1]):
        raise KeyError
    assert all("forward" not in vars(m) for m in model.modules())
    assert torch.equal(model(X), before)


class ReadTwice(nn.Module):
    """What the convolution makes is used beside the norm as well."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y


class CalledTwice(ReadTwice):
    def forward(self, x):
        return self.norm(self.conv(x)) + self.norm(self.conv(x + 1))


class Apart(ReadTwice):
    def forward(self, x):
        return self.norm(self.conv(x).relu())


@pytest.mark.parametrize("kind", [ReadTwice, CalledTwice, Apart])
def test_values_what_cannot_be_folded_is_left(kind):
    model = lived_in(kind())
    before = model(X)
    with folded_norms(model, X[:1]) as count:
        assert count == 0 and torch.equal(model(X), before)


def test_values_a_copy_made_meanwhile_stands_alone():
    model = lived_in(plain())
    with folded_norms(model, X[:1]):
        other = copy.deepcopy(model)
        expected = model(X)
        with torch.no_grad():
            model[0].weight.zero_()
        torch.testing.assert_close(other(X), expected)
