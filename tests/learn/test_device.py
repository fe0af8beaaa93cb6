import pytest
import torch

from limsup_widgets.learn.device import best_device, torch_threads


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
