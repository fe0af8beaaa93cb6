import numpy as np
import pytest
import torch
from monai.visualize import CAM, GradCAM
from torch import nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.cam import (
    class_activation_map,
    gated_map,
    grad_cam,
    pseudo_labels,
)


class Classifier(nn.Module):
    """Two convolutions, pooling, and a head of one or two linear layers."""

    def __init__(self, classes=2, hidden=0, dims=2, pool="Avg", inplace=False):
        super().__init__()
        conv, norm = getattr(nn, f"Conv{dims}d"), getattr(nn, f"BatchNorm{dims}d")
        self.first = conv(1, 5, 3, stride=2, padding=1)
        self.norm = norm(5)
        self.second = conv(5, 6, 3, padding=1)
        self.act = nn.ReLU(inplace)
        self.drop = nn.Dropout(0.5)
        self.pool = getattr(nn, f"Adaptive{pool}Pool{dims}d")(1)
        self.hidden = nn.Sequential(nn.Linear(6, hidden), nn.ReLU()) if hidden else nn.Identity()
        self.fc = nn.Linear(hidden or 6, classes)

    def forward(self, x):
        x = self.act(self.second(self.norm(self.first(x)).relu()))
        return self.fc(self.hidden(self.pool(self.drop(x)).flatten(1)))


def network(seed=0, **options):
    """Random weights with batch statistics unlike those of the input."""
    torch.manual_seed(seed)
    net = Classifier(**options)
    net.norm.running_mean.uniform_(-0.5, 0.5)
    net.norm.running_var.uniform_(0.5, 2.0)
    return net.eval()


def batch(n=4, shape=(16, 12), seed=1):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, 1, *shape)).astype(np.float32))


def cam(net, x, target=1, **options):
    return class_activation_map(net, x, "act", "fc", target, **options)


@pytest.mark.parametrize(("dims", "shape"), [(2, (16, 12)), (3, (8, 10, 12))])
def test_values_logit_is_mean_and_bias(dims, shape):
    net, x = network(classes=3, dims=dims), batch(shape=shape)
    for c in range(3):
        mean = cam(net, x, c).flatten(1).mean(1) + net.fc.bias[c]
        torch.testing.assert_close(mean, net(x)[:, c])


def test_values_two_logits_are_one_difference():
    net, x = network(), batch()
    z, b = net(x), net.fc.bias
    mean = cam(net, x).flatten(1).mean(1) + b[1] - b[0]
    torch.testing.assert_close(mean, z[:, 1] - z[:, 0])
    torch.testing.assert_close(cam(net, x, 0), -cam(net, x, 1))


def test_values_common_vector_leaves_the_difference():
    net, x = network(), batch()
    before, alone = cam(net, x), cam(net, x, difference=False)
    prob = net(x).softmax(1)
    with torch.no_grad():
        net.fc.weight += torch.linspace(-1, 1, 6)
    torch.testing.assert_close(cam(net, x), before)
    torch.testing.assert_close(net(x).softmax(1), prob)
    assert (cam(net, x, difference=False) - alone).abs().max() > 0.1


def test_values_single_logit():
    net, x = network(classes=1), batch()
    torch.testing.assert_close(cam(net, x).flatten(1).mean(1) + net.fc.bias, net(x)[:, 0])
    torch.testing.assert_close(cam(net, x, 0), -cam(net, x, 1))


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize(("dims", "shape"), [(2, (16, 12)), (3, (8, 10, 12))])
def test_equivalence_grad_cam_is_relu_of_cam(classes, dims, shape):
    net, x = network(classes=classes, dims=dims), batch(shape=shape)
    plain = cam(net, x)
    torch.testing.assert_close(grad_cam(net, x, "act", 1), plain.relu() / plain[0].numel())


def test_values_hidden_layer_makes_them_differ():
    net, x = network(hidden=8), batch()
    mapped = grad_cam(net, x, "act", 1)
    assert mapped.shape == (4, 8, 6) and mapped.min() >= 0 and mapped.max() > 0
    with pytest.raises(LimsupError, match="classifier: got weights"):
        cam(net, x)


def test_equivalence_monai_cam():
    net, x = network(classes=3), batch()
    theirs = CAM(net, target_layers="act", fc_layers="fc").compute_map(x, class_idx=[2] * 4)[:, 0]
    torch.testing.assert_close(cam(net, x, 2) + net.fc.bias[2], theirs.detach())


@pytest.mark.parametrize("hidden", [0, 8])
def test_equivalence_monai_grad_cam(hidden):
    net, x = network(classes=3, hidden=hidden), batch()
    ours = grad_cam(net, x, "act", 2)
    theirs = GradCAM(net, target_layers="act").compute_map(x, class_idx=2)[:, 0]
    torch.testing.assert_close(ours, theirs.detach())


@pytest.mark.parametrize("map_of", [cam, lambda net, x: grad_cam(net, x, "act", 1)])
def test_values_state_is_left(map_of):
    net, x = network(inplace=True), batch()
    net.train()
    net.norm.eval()
    for p in net.second.parameters():
        p.requires_grad_(False)
    net.fc.weight.grad = torch.ones_like(net.fc.weight)
    modes = [m.training for m in net.modules()]
    state = {k: v.clone() for k, v in net.state_dict().items()}
    rng = torch.get_rng_state()
    values = map_of(net, x)
    assert not values.requires_grad and not x.requires_grad
    assert [m.training for m in net.modules()] == modes
    assert [p.requires_grad for p in net.second.parameters()] == [False, False]
    assert (net.fc.weight.grad == 1).all() and net.fc.bias.grad is None
    assert not any(m._forward_hooks or m._backward_hooks for m in net.modules())
    assert torch.equal(torch.get_rng_state(), rng)
    torch.testing.assert_close(net.state_dict(), state)


def test_values_state_is_left_after_an_error():
    net, x = network().train(), batch(shape=(16, 12))
    with pytest.raises(RuntimeError):
        cam(net, x[:, [0, 0]])
    assert all(m.training for m in net.modules()) and not net.act._forward_hooks


def test_equivalence_frozen_in_place_and_no_grad():
    x, expected = batch(), grad_cam(network(hidden=8), batch(), "act", 1)
    before_relu = by_hand_before_the_relu()
    frozen = network(hidden=8, inplace=True).requires_grad_(False)
    with torch.no_grad():
        torch.testing.assert_close(grad_cam(frozen, x, frozen.second, 1), before_relu)
        torch.testing.assert_close(grad_cam(frozen, x, "act", 1), expected)


def by_hand_before_the_relu():
    """Grad-CAM before the ReLU, by hand: the slope passes where the unit is on."""
    net, x = network(hidden=8), batch()
    a = net.second(net.norm(net.first(x)).relu()).detach().requires_grad_()
    z = net.fc(net.hidden(a.relu().mean((2, 3))))
    (slope,) = torch.autograd.grad((z[:, 1] - z[:, 0]).sum(), a)
    return (slope.mean((2, 3), keepdim=True) * a).sum(1).relu().detach()


def test_equivalence_one_target_an_image():
    net, x = network(classes=3), batch()
    for map_of in (cam, lambda net, x, t: grad_cam(net, x, "act", t)):
        mixed = map_of(net, x, [0, 2, 1, 0])
        for row, c, one in zip(mixed, (0, 2, 1, 0), x, strict=True):
            torch.testing.assert_close(row, map_of(net, one[None], c)[0])


def test_values_gate_and_maximum():
    maps = torch.stack([torch.full((2, 3), -1.0), torch.arange(6.0).reshape(2, 3)])
    gated = gated_map(maps[[0, 1, 1, 1]], torch.tensor([1.0, 1.0, 0.0, 0.25]), (8, 12))
    assert gated.shape == (4, 8, 12)
    np.testing.assert_allclose(gated.amax((1, 2)), [0, 1, 0, 0.25])
    torch.testing.assert_close(gated[3], gated[1] / 4)
    torch.testing.assert_close(gated_map(1000 * maps, [1, 1], (8, 12)), gated[:2])


def test_shapes():
    assert cam(network(), batch(3, (20, 30))).shape == (3, 10, 15)
    volume = cam(network(dims=3), batch(2, (8, 10, 12)))
    assert volume.shape == (2, 4, 5, 6)
    assert gated_map(volume, [1, 0], (8, 10, 12)).shape == (2, 8, 10, 12)


def test_values_pseudo_labels():
    values = torch.tensor([[0.0, 0.049, 0.05, 0.299, 0.3, 1.0]])
    assert pseudo_labels(values).tolist() == [[1, 1, 0, 0, 2, 2]]
    assert pseudo_labels(values, 0.05, 0.05).tolist() == [[1, 1, 2, 2, 2, 2]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n, x: cam(n, x, 2), r"target: got \[2, 2, 2, 2\], expected classes 0…1"),
        (lambda n, x: cam(n, x, [0, 1]), "target: got .*, expected a class, or 4 classes"),
        (lambda n, x: grad_cam(n, x, "none", 1), "layer: got none, expected one of first, norm"),
        (lambda n, x: grad_cam(n, x, nn.ReLU(), 1), "layer: got ReLU"),
        (lambda n, x: grad_cam(n, x, "fc", 1), r"layer fc: got output \(4, 2\)"),
        (lambda n, x: class_activation_map(n, x, "act", "pool", 1), "classifier: got Adaptive"),
        (lambda n, x: class_activation_map(n, x, "second", "fc", 1), "use grad_cam"),
        (lambda n, x: cam(network(pool="Max"), x), "head of the network: .*use grad_cam"),
        (lambda n, x: grad_cam(n.second, x.expand(-1, 5, -1, -1), n.second, 1), "logits"),
        (lambda n, x: grad_cam(nn.Sequential(n.act, n.act, n), x, n.act, 1), "run 3 times"),
        (lambda n, x: gated_map(x[:, 0], [1, 0], (9, 9)), "tag: got .*, expected 4 values"),
        (lambda n, x: gated_map(x[:, 0], [2, 0, 0, 0], (9, 9)), "tag: got"),
        (lambda n, x: pseudo_labels(x, 0.1, 0.2), "thresholds: got foreground 0.1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(LimsupError, match=message):
        call(network(), batch())
