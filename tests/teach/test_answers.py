import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limsup_widgets.teach.answers import Unreadable, close, is_number, read_answer


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_roundtrip_a_number_as_text(value):
    assert read_answer(repr(value), like=1.0) == value


@given(st.floats(-1e6, 1e6))
def test_values_percent(value):
    assert read_answer(f"{value!r} %", like=1.0) == pytest.approx(value / 100)


@pytest.mark.parametrize("value", [True, np.bool_(False), "1", [1.0], None])
def test_values_what_is_no_number(value):
    assert not is_number(value)


def test_values_close_needs_one_kind_and_shape():
    assert close((1, 2), [1.0, 2.0005], 1e-3)
    assert not close((1, 2), (1, 2, 3), 1)
    assert not close("1", 1, 1)
    assert not close(float("nan"), 1, 10)


def test_values_tensor_that_requires_grad():
    class Tensor:
        """Stands for a torch tensor, which numpy reads only once it is detached."""

        def detach(self):
            return np.array([1.0, 2.0])

    assert read_answer(Tensor(), like=[0, 0]).tolist() == [1, 2]


def test_errors():
    with pytest.raises(Unreadable, match="shape"):
        read_answer([1, 2, 3], like=[0, 0])
