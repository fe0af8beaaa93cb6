"""The same numbers on a GPU, where there is one."""

import copy

import numpy as np
import pytest
import torch

from limsup_widgets.learn.moments import mc_moments, mc_passes
from limsup_widgets.learn.passes import pass_batches
from limsup_widgets.learn.tune import TuneSettings, fine_tune
from limsup_widgets.learn.weights import load_u0

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU (CUDA)")
X = torch.randn(3, 96, 128, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def full_precision():
    """TF32 rounds to three digits; equality is asked for without it."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def test_equivalence_passes(full_precision):
    net = load_u0(dropout=True).cuda()
    ours = torch.cat(list(pass_batches(net, X, 9, batch=4)))
    assert ours.is_cuda
    torch.testing.assert_close(ours, torch.stack(list(mc_passes(net, X, 9))), atol=1e-5, rtol=0)


def test_equivalence_with_the_cpu(full_precision):
    net = load_u0(dropout=True)
    cpu, gpu = mc_moments(net, X, 6), mc_moments(copy.deepcopy(net).cuda(), X, 6)
    np.testing.assert_allclose(gpu.mean, cpu.mean, atol=1e-4)
    np.testing.assert_allclose(gpu.epistemic, cpu.epistemic, atol=1e-4)


def test_values_tuning_lowers_the_loss_and_gives_memory_back():
    labels = np.zeros((96, 128), np.uint8)
    labels[20:24], labels[60:64] = 1, 3
    net = load_u0(dropout=True).cuda()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    tuned = fine_tune(net, [X], [labels], TuneSettings(steps=8, crop=64))
    assert next(tuned.parameters()).is_cuda
    own = sum(t.numel() * t.element_size() for t in tuned.state_dict().values())
    del labels
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() - before < 4 * own
