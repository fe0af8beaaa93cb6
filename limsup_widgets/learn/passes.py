"""Many dropout passes of one network on one image, as fast as the network allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from limsup_widgets.learn.dropout import dropout_masks, live_dropouts
from limsup_widgets.learn.infer import evaluating, prepare
from limsup_widgets.learn.replay import replay, shorten
from limsup_widgets.learn.tape import Tape, Unrepeatable, layer_masks, recording

BUDGET = {"cpu": 16 * 2**20, "cuda": 2**30}
"""Bytes of one map of all passes that run together; small ones suit a CPU's cache."""
CHANNELS = 16
TOLERANCE = 1e-4
_CHECKED: WeakKeyDictionary[nn.Module, set[tuple[int, ...]]] = WeakKeyDictionary()
Say = Callable[[str], object]


def pass_batches(
    model: nn.Module,
    x: Tensor,
    passes: int,
    seed: int = 0,
    batch: int | None = None,
    say: Say | None = None,
) -> Iterator[Tensor]:
    """Posteriors of passes 0, 1, 2 … of ``x (C, H, W)``, as batches ``(B, K, H, W)``.

    What lies before the first live dropout runs once. Equal to :func:`mc_passes` pass by pass, to
    rounding, whatever the batch; a network that cannot be repeated in part runs whole.

    Parameters
    ----------
    model
        Any module ``(N, C, H, W)`` → ``(N, K, H, W)`` with a live dropout layer.
    x, passes, seed
        Image, number of passes T, seed of the masks.
    batch
        Passes computed together; by default as many as fit :data:`BUDGET`.
    say
        Told once, in words, what is shared, or why nothing is.
    """
    if passes < 1:
        return
    image = prepare(model, x)
    if image.ndim == 4:
        image = image.contiguous(memory_format=torch.channels_last)
    count = _even(passes, batch or fitting(image[0]))
    for probabilities in _shared_or_whole(model, image, passes, seed, count, say or (lambda _: 0)):
        yield probabilities[..., : x.shape[-2], : x.shape[-1]]


def fitting(x: Tensor) -> int:
    """Passes that run together for ``x (C, *S)``, at least one.

    Examples
    --------
    >>> fitting(torch.zeros(3, 128, 128)), fitting(torch.zeros(3, 512, 512))
    (16, 1)
    """
    budget = BUDGET.get(x.device.type, BUDGET["cpu"])
    return max(1, budget // (4 * CHANNELS * x[0].numel()))


def _even(passes: int, most: int) -> int:
    """The batch from half of ``most`` to ``most`` that computes the fewest superfluous passes."""
    most = min(most, passes)
    return min(range((most + 1) // 2, most + 1), key=lambda b: (-(-passes // b) * b, -b))


def _shared_or_whole(
    model: nn.Module, image: Tensor, passes: int, seed: int, count: int, say: Say
) -> Iterator[Tensor]:
    try:
        first, more = _recorded(model, image, seed, count, say)
    except Unrepeatable as reason:
        say(f"the whole network in every pass: {reason}")
        first, more = None, _whole(model, image, seed, count)
    for start in range(0, passes, count):
        made = first if start == 0 and first is not None else more(start)
        yield made[: passes - start]


def _numbers(start: int, count: int) -> list[int]:
    return list(range(start, start + count))


def _whole(model: nn.Module, image: Tensor, seed: int, count: int) -> Callable[[int], Tensor]:
    def run(start: int) -> Tensor:
        rows = []
        for number in _numbers(start, count):
            with evaluating(model), dropout_masks(model, seed, [number]):
                rows.append(model(image).softmax(1))
        return torch.cat(rows)

    return run


def _recorded(
    model: nn.Module, image: Tensor, seed: int, count: int, say: Say
) -> tuple[Tensor, Callable[[int], Tensor]]:
    """The first batch, and a function from the first pass of another batch to its posteriors."""
    with evaluating(model):
        tape, logits = _record(model, image, seed, count)
        output = tape.slot(logits)
        steps = shorten(tape.steps, output)
        shapes = tape.dropped

    def run(start: int) -> Tensor:
        layers = live_dropouts(model)
        numbers = _numbers(start, count)
        masks = {i: layer_masks(layers[i], i, like, seed, numbers) for i, like in shapes.items()}
        with torch.no_grad():
            return replay(steps, tape.size, output, masks).softmax(1)

    _check_once(model, image, seed, count, run)
    say(f"{len(steps)} of {tape.calls} calls are repeated, the others run once")
    return logits.softmax(1), run


def _record(model: nn.Module, image: Tensor, seed: int, count: int) -> tuple[Tape, Tensor]:
    """Record a batch; what fails with a batch behind the first dropout cannot be repeated."""
    try:
        with recording(model, seed, _numbers(0, count)) as tape:
            logits = model(image)
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise Unrepeatable(f"it does not take a batch of passes ({error})") from error
    if not isinstance(logits, Tensor) or logits.shape[0] != count:
        raise Unrepeatable("it does not return one map a pass")
    return tape, logits


def _check_once(
    model: nn.Module, image: Tensor, seed: int, count: int, run: Callable[[int], Tensor]
) -> None:
    """Compare the last pass of a batch with the whole network, once per model and shapes.

    The last, since a network that mixes the entries of a batch may leave the first one right.
    """
    done = _CHECKED.setdefault(model, set())
    key = (count, *image.shape)
    if key in done:
        return
    expected, found = _whole(model, image, seed, 1)(count - 1), run(0)[-1:]
    if not torch.allclose(expected, found, atol=TOLERANCE, rtol=0):
        raise Unrepeatable("a repeated pass differs from one of the whole network")
    done.add(key)
