"""One recorded call of a network, from which other dropout passes repeat only what they change.

While the network runs once, every torch function that it calls is seen. What came before the
first live dropout is the same in all passes and is kept; what depends on a mask is written down,
to be run again under other masks. Nothing outlives a recording, so new weights, another mode or
another image cannot meet an old result.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from limsup_widgets.learn.dropout import live_dropouts, mask

READS = ("item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__", "__array__")


class Unrepeatable(Exception):
    """The network does something that a recording cannot repeat; the message says what."""


def _join(
    call: Callable[..., Tensor], tensors: Sequence[Tensor], *args: Any, **kwargs: Any
) -> Tensor:
    """Join tensors of which some are shared by all passes: joining does not broadcast."""
    passes = max(t.shape[0] for t in tensors)
    wide = [t.expand(passes, *t.shape[1:]) if t.shape[0] == 1 else t for t in tensors]
    return call(wide, *args, **kwargs)


JOINS = {call: partial(_join, call) for call in (torch.cat, torch.concat, torch.concatenate)}
"""What a call that joins is recorded as."""


@dataclass(frozen=True)
class Slot:
    """Where a replay finds a tensor that depends on the masks."""

    number: int


@dataclass(frozen=True)
class Mask:
    """Stands for the masks of one dropout layer."""

    layer: int


@dataclass
class Step:
    """One call to repeat, with :class:`Slot` and :class:`Mask` for what changes between passes."""

    call: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: list[int]

    def slots(self) -> list[int]:
        """Slots that the call reads."""
        return [v.number for v in tree_leaves((self.args, self.kwargs)) if isinstance(v, Slot)]

    def source(self, single: Mapping[int, Step]) -> Step | None:
        """The step that makes the first argument, out of those whose result is read once."""
        first = self.args[0] if self.args else None
        return single.get(first.number) if isinstance(first, Slot) else None


class Tape(TorchFunctionMode):
    """Writes down the calls that depend on dropout, of a few passes as one batch.

    Attributes
    ----------
    steps
        In their order.
    calls
        How many calls the network made, those included that need no repetition.
    size
        Number of slots.
    dropped
        For each dropout layer that was met, an output of it (any pass).
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.steps: list[Step] = []
        self.dropped: dict[int, Tensor] = {}
        self.size = 0
        self._changing: dict[int, weakref.ref[Tensor]] = {}
        self._slot: dict[int, int] = {}
        self._kept: dict[int, tuple[Tensor, int]] = {}

    def slot(self, tensor: Tensor) -> Slot:
        """Slot of a tensor that depends on the masks.

        Raises
        ------
        Unrepeatable
            If it does not depend on them.
        """
        if id(tensor) not in self._slot:
            raise Unrepeatable("the output does not depend on any dropout")
        return Slot(self._slot[id(tensor)])

    def drop(self, layer: int, out: Tensor, masks: Tensor) -> Tensor:
        """Output of a dropout layer times its ``masks (B, C, …)``."""
        (noted,) = self._noted((out,))
        self.dropped[layer] = out[:1]
        product = out * masks
        self.steps.append(Step(torch.mul, (noted, Mask(layer)), {}, [self._place(product)]))
        return product

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a call; write it down if any of its tensors depends on the masks."""
        self.calls += 1
        kwargs = kwargs or {}
        changing = any(self._changes(value) for value in tree_leaves((args, kwargs)))
        if changing:
            func = JOINS.get(func, func)
        noted = self._noted((args, kwargs)) if changing else None
        result = func(*args, **kwargs)
        self.check()
        if noted is None:
            return result
        tensors = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
        if tensors:
            args, kwargs = noted
            self.steps.append(Step(func, args, kwargs, [self._place(t) for t in tensors]))
        elif getattr(func, "__name__", "") in READS:
            raise Unrepeatable(f"a value is read out of a changing tensor ({func.__name__})")
        return result

    def check(self) -> None:
        """Raise if a kept tensor has been changed since it was used.

        Raises
        ------
        Unrepeatable
            A replay would then start from something else.
        """
        if any(tensor._version != version for tensor, version in self._kept.values()):
            raise Unrepeatable("a tensor that all passes share is changed in place after its use")

    def _changes(self, value: Any) -> bool:
        return isinstance(value, Tensor) and id(value) in self._slot

    def _place(self, tensor: Tensor) -> int:
        # Slots go by identity, and Python gives an address away again: a tensor that is gone is
        # forgotten at once, so that the maps of the recorded passes need not all stay in memory.
        key = id(tensor)
        self._changing[key] = weakref.ref(tensor, lambda _: self._slot.pop(key, None))
        self._slot[key] = self.size
        self.size += 1
        return self.size - 1

    def _noted(self, arguments: Any) -> Any:
        """Arguments as a step keeps them."""

        def note(value: Any) -> Any:
            if self._changes(value):
                return Slot(self._slot[id(value)])
            if isinstance(value, Tensor):
                self._kept.setdefault(id(value), (value, value._version))
            return value

        return tree_map(note, arguments)


def layer_masks(
    layer: nn.Module, index: int, like: Tensor, seed: int, passes: Sequence[int]
) -> Tensor:
    """Masks ``(B, C, …)`` of one layer for several passes, for an output shaped like ``like``."""
    return torch.cat([mask(layer, index, like.shape, seed, n) for n in passes]).to(like)


@contextmanager
def recording(model: nn.Module, seed: int, passes: Sequence[int]) -> Iterator[Tape]:
    """Inside, one call of the model on an image ``(1, C, …)`` runs ``passes`` and records them."""
    tape = Tape()

    def hook(index: int, layer: nn.Module, _: object, out: Tensor) -> Tensor:
        with torch._C.DisableTorchFunction():
            return tape.drop(index, out, layer_masks(layer, index, out, seed, passes))

    handles = [
        layer.register_forward_hook(partial(hook, index))
        for index, layer in enumerate(live_dropouts(model))
    ]
    try:
        with tape:
            yield tape
    finally:
        for handle in handles:
            handle.remove()
