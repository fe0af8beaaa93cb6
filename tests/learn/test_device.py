import numpy as np
import pytest
import torch
from torch import nn

from limsup_widgets.learn import tune
from limsup_widgets.learn.device import best_device, compiled, half_precision, torch_threads
from limsup_widgets.learn.tune import TuneSettings, fine_tune
from limsup_widgets.learn.unet import UNet


def test_values(monkeypatch):
    monkeypatch.setenv("LIMSUP_DEVICE", "meta")
    assert best_device() == torch.device("meta")
    monkeypatch.delenv("LIMSUP_DEVICE")
    assert best_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_threads_are_put_back():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_values_half_precision_is_for_accelerators(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU (CUDA)")
    conv, x = nn.Conv2d(3, 4, 3).to(device), torch.randn(1, 3, 8, 8, device=device)
    half = device == "cuda" and torch.cuda.is_bf16_supported()
    with half_precision(torch.device(device)):
        assert conv(x).dtype == (torch.bfloat16 if half else torch.float32)
    with half_precision(torch.device(device), wanted=False):
        assert conv(x).dtype == torch.float32


def broken(*_, **__):
    raise RuntimeError("no C++ compiler found")


def test_values_without_a_compiler_it_goes_on(monkeypatch):
    conv, x, told = nn.Conv2d(3, 4, 3), torch.randn(1, 3, 8, 8), []
    monkeypatch.setattr(torch, "compile", broken)
    assert torch.equal(compiled(conv, told.append)(x), conv(x))
    assert told == ["torch.compile is not usable here (no C++ compiler found): going on without"]


def test_values_a_compiler_that_fails_at_the_first_call_is_left_alone(monkeypatch):
    conv, x, told, calls = nn.Conv2d(3, 4, 3), torch.randn(1, 3, 8, 8), [], []

    def fails_later(_model):
        return lambda x: calls.append(x) or broken()

    monkeypatch.setattr(torch, "compile", fails_later)
    forward = compiled(conv, told.append)
    assert torch.equal(forward(x), conv(x)) and torch.equal(forward(x), conv(x))
    assert len(calls) == len(told) == 1


def test_errors_memory_is_not_the_compilers_fault(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "compile", lambda _: full)
    with pytest.raises(torch.OutOfMemoryError):
        compiled(nn.Conv2d(1, 1, 1))(torch.zeros(1, 1, 2, 2))


@pytest.mark.slow
def test_equivalence_compiled():
    """Where there is a compiler; without one the fallback is what runs."""
    conv, x = nn.Conv2d(1, 1, 1), torch.randn(1, 1, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(compiled(conv)(x), conv(x))


def test_values_masks_are_never_compiled_in(monkeypatch):
    """A compiler may keep the masks of the first step for all."""
    monkeypatch.setattr(tune, "compiled", broken)
    labels = np.zeros((32, 32), np.uint8)
    labels[4:6], labels[20:22] = 1, 2
    net = UNet(classes=2, widths=(4, 4, 4, 4), p_drop=0.2)
    fine_tune(net, [torch.zeros(3, 32, 32)], [labels], TuneSettings(1, crop=32, compile=True))
