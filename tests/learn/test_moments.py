import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from learn.toys import random_input, tiny_unet
from torch import nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn import moments
from limsup_widgets.learn.dropout import mask
from limsup_widgets.learn.unet import PLACES

PLACEMENTS = [(place,) for place in PLACES] + [("bottleneck", "half"), ("half", "full"), PLACES]


def monai_unet():
    from monai.networks.nets import BasicUNet

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BasicUNet(2, 3, 4, features=(4, 4, 6, 6, 8, 4), dropout=0.3).eval()


def sequential():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Dropout2d(0.5), nn.Conv2d(6, 4, 1)
    ).eval()


def dropping_unet(placement=("half", "full"), classes=4):
    return tiny_unet(p_drop=0.3, dropout_at=placement, classes=classes)


def stacked(passes):
    return torch.stack(list(passes)).double().numpy()


def check_shared_is_naive(net=None, batch=1, shape=(3, 24, 40)):
    net, x = net or dropping_unet(), random_input(shape=shape)
    naive = stacked(moments.mc_passes(net, x, 5, seed=4))
    shared = stacked(moments.shared_passes(net, x, 5, seed=4, batch=batch))
    np.testing.assert_allclose(shared, naive, rtol=0, atol=1e-5)
    assert naive.std(0).max() > 1e-3, "nothing was dropped"


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_equivalence_placements(placement):
    check_shared_is_naive(dropping_unet(placement))


@pytest.mark.parametrize("batch", [1, 2, 5, 8])
def test_equivalence_batches(batch):
    check_shared_is_naive(batch=batch)


@pytest.mark.parametrize("shape", [(3, 17, 35), (3, 1, 9), (3, 31, 8)])
def test_equivalence_odd_sizes(shape):
    check_shared_is_naive(shape=shape, batch=2)


@pytest.mark.parametrize("make", [monai_unet, sequential])
@pytest.mark.parametrize("batch", [1, 3])
def test_equivalence_foreign(make, batch):
    check_shared_is_naive(make(), batch=batch)


def test_values_the_same_bits_every_time():
    net, x = dropping_unet(), random_input()
    one, two = (list(moments.shared_passes(net, x, 4, batch=1)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def check_pass_by_hand():
    """One pass of a network so small that it can be written down."""
    net, x = sequential(), random_input(shape=(3, 32, 32))
    conv, norm, drop, head = net
    with torch.no_grad():
        hidden = norm(conv(x[None]))
        expected = [
            head(hidden * mask(drop, 0, hidden.shape, 3, t)).softmax(1)[0] for t in range(3)
        ]
    torch.testing.assert_close(list(moments.mc_passes(net, x, 3, seed=3)), expected)


def test_values_pass_by_hand():
    check_pass_by_hand()


def check_moments(stack):
    found = moments.moments_of(iter(torch.from_numpy(stack)))
    mean, spread = stack.mean(0), stack.var(0)
    np.testing.assert_allclose(found.mean, mean, atol=1e-6)
    np.testing.assert_allclose(found.aleatoric, (stack * (1 - stack)).mean(0), atol=1e-6)
    np.testing.assert_allclose(found.epistemic, spread, atol=1e-6)
    np.testing.assert_allclose(found.total, found.aleatoric + found.epistemic, atol=1e-6)
    assert min(found.aleatoric.min(), found.epistemic.min()) >= 0
    assert found.total.max() <= 0.25
    assert found.kind("V").max() <= 1 - 1 / stack.shape[1] + 1e-6
    assert found.passes == len(stack) and found.mean.dtype == np.float32


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 6), st.integers(2, 5), st.integers(1, 3), st.integers(1, 3)),
        elements=st.floats(0, 1),
    )
)
def test_values_streaming_is_stored(raw):
    check_moments((raw + 1e-3) / (raw + 1e-3).sum(1, keepdims=True))


def test_values_small_spread_of_float32():
    stack = (0.9 + 1e-4 * np.arange(5)).astype(np.float32).reshape(5, 1, 1, 1)
    found = moments.moments_of(iter(torch.from_numpy(stack)))
    assert found.epistemic.item() == pytest.approx(stack.astype(np.float64).var(), rel=1e-3)
    same = np.random.default_rng(0).random((1, 1, 40, 40)).repeat(3, axis=0)
    assert moments.moments_of(iter(torch.from_numpy(same))).epistemic.min() == 0


def test_values_extremes():
    sure = np.stack([np.eye(4)[:, [c], None] for c in range(4)])
    check_moments(sure)
    found = moments.moments_of(iter(torch.from_numpy(sure)))
    assert found.kind("V") == pytest.approx(0.75) and found.kind("A").max() == 0
    check_moments(np.full((3, 4, 1, 1), 0.25))


@pytest.mark.parametrize("shared", [True, False])
def test_values_of_a_network(shared):
    net, x = dropping_unet(), random_input()
    stack = stacked(moments.mc_passes(net, x, 6, seed=2))
    found = moments.mc_moments(net, x, 6, seed=2, shared=shared, batch=4)
    np.testing.assert_allclose(found.mean, stack.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.epistemic, stack.var(0), atol=1e-6)
    assert found.mean.shape == (4, 40, 56)
    np.testing.assert_allclose(found.kind("A"), found.aleatoric.sum(0))
    np.testing.assert_allclose(found.kind("E"), found.epistemic.sum(0))


def check_passes_differ():
    found = moments.mc_moments(dropping_unet(), random_input(), passes=4)
    assert found.epistemic.max() > 1e-3


def test_values_passes_differ():
    check_passes_differ()


def snapshot(net):
    return [b.clone() for b in net.buffers()], [m.training for m in net.modules()]


def check_untouched(shared=True, stop=False):
    """Batch statistics bitwise, the mode of every submodule, hooks and random numbers."""
    net, x = dropping_unet().train(), random_input()
    net.encoder[1].eval()
    (buffers, modes), state = snapshot(net), torch.get_rng_state()

    def progress(count):
        if stop and count == 2:
            raise KeyboardInterrupt

    try:
        moments.mc_moments(net, x, 3, shared=shared, progress=progress)
    except KeyboardInterrupt as error:
        kept = error  # its traceback would keep an unfinished generator alive
        assert stop, kept
    after = snapshot(net)
    assert all(torch.equal(a, b) for a, b in zip(after[0], buffers, strict=True))
    assert after[1] == modes
    assert torch.equal(torch.get_rng_state(), state) and torch.is_grad_enabled()
    assert not any(m._forward_hooks for m in net.modules())


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("stop", [True, False])
def test_cancel_and_restore(shared, stop):
    check_untouched(shared, stop)


@pytest.mark.parametrize("passes", [moments.mc_passes, moments.shared_passes])
def test_cancel_between_passes(passes):
    net = dropping_unet().train()
    running = passes(net, random_input(), 3)
    next(running)
    assert torch.is_grad_enabled() and all(m.training for m in net.modules())
    assert not any(m._forward_hooks for m in net.modules())


def test_cancel_from_progress():
    calls = []
    moments.mc_moments(dropping_unet(), random_input(), 3, batch=2, progress=calls.append)
    assert calls == [1, 2, 3]
    with pytest.raises(ZeroDivisionError):
        moments.mc_moments(dropping_unet(), random_input(), 3, progress=lambda count: 1 / 0)


def test_determinism():
    net, x = dropping_unet(), random_input()
    one, two, other = (moments.mc_moments(net, x, 4, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.mean, two.mean) and np.array_equal(one.epistemic, two.epistemic)
    assert not np.array_equal(one.mean, other.mean)


def check_prefix_runs_once():
    """How often the encoder runs for 6 passes, after the one comparison of a new network."""
    net, runs = dropping_unet(), []
    moments.mc_moments(net, random_input(), 6, batch=2)
    net.encoder[0].register_forward_hook(lambda *_: runs.append("encoder"))
    moments.mc_moments(net, random_input(), 6, batch=2)
    assert runs == ["encoder"]


def test_values_prefix_runs_once():
    check_prefix_runs_once()


def test_errors():
    with pytest.raises(LimsupError, match="network: got no live dropout"):
        moments.mc_moments(tiny_unet(), random_input())
    for passes in (0, -1):
        with pytest.raises(LimsupError, match="passes: got 0, expected at least 1"):
            moments.mc_moments(dropping_unet(), random_input(), passes)
    with pytest.raises(LimsupError, match="uncertainty: got X, expected A, E or V"):
        moments.moments_of(iter(torch.ones(1, 1, 1, 1))).kind("X")


def noise(passes, spread=0.2):
    return iter(0.5 + spread * torch.randn(passes, 2, 16, 16, generator=torch.manual_seed(0)))


def test_values_first_pictures_are_those_of_fewer_passes():
    every = list(moments.stream_moments(noise(11)))
    assert [found.passes for found in every] == [2, 4, 8, 11]
    few = moments.moments_of(noise(4))
    np.testing.assert_array_equal(every[1].mean, few.mean)
    np.testing.assert_array_equal(every[1].epistemic, few.epistemic)


@pytest.mark.parametrize("tolerance", [0.1, 0.05, 0.08])
def test_values_ends_when_the_mean_is_known_well_enough(tolerance):
    *_, found = moments.stream_moments(noise(500), tolerance=tolerance)
    error = np.sqrt(found.epistemic.mean() / (found.passes - 1))
    before = moments.moments_of(noise(found.passes - 1))
    assert moments.LEAST <= found.passes < 500 and error <= tolerance
    assert np.sqrt(before.epistemic.mean() / (before.passes - 1)) > tolerance


def test_values_no_tolerance_takes_all_passes():
    *_, found = moments.stream_moments(noise(40, spread=0.0))
    assert found.passes == 40


def test_errors_no_pass():
    with pytest.raises(LimsupError, match="passes"):
        list(moments.stream_moments(iter([])))
