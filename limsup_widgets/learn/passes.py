"""Many dropout passes of one network on one image, as fast as the network allows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import partial

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
RECORDED = 2
"""Passes of the recording: with two, a network that mixes passes gives itself away."""
_CHECKED: dict[tuple[Hashable, ...], int] = {}
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
    most = min(passes, batch or fitting(image[0]))
    for probabilities in _shared_or_whole(model, image, passes, seed, most, say or (lambda _: 0)):
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


Run = Callable[[int, int], Tensor]
"""Posteriors ``(B, K, *S)`` of B passes: number of the first, B."""


def _shared_or_whole(
    model: nn.Module, image: Tensor, passes: int, seed: int, most: int, say: Say
) -> Iterator[Tensor]:
    try:
        first, run, most = _recorded(model, image, seed, most, say)
    except Unrepeatable as reason:
        say(f"the whole network in every pass: {reason}")
        first, run = image[:0], partial(_whole, model, image, seed)
    if len(first):
        yield first
    start = len(first)
    while start < passes:
        made = _unless_full(run, start, most)
        if made is None:
            most //= 2
            say(f"out of memory: going on with {most} passes at a time")
            continue
        yield made[: passes - start]
        start += most


def _unless_full(run: Run, start: int, count: int) -> Tensor | None:
    """Passes, or None if memory ran out; the frames that held it are gone when this returns."""
    try:
        return run(start, count)
    except torch.OutOfMemoryError:
        if count == 1:
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _whole(model: nn.Module, image: Tensor, seed: int, start: int, count: int) -> Tensor:
    rows = []
    for number in range(start, start + count):
        with evaluating(model), dropout_masks(model, seed, [number]):
            rows.append(model(image).softmax(1))
    return torch.cat(rows)


def _recorded(
    model: nn.Module, image: Tensor, seed: int, most: int, say: Say
) -> tuple[Tensor, Run, int]:
    """Posteriors of the recorded passes, how to run others, and how many at once."""
    few = min(RECORDED, most)
    with evaluating(model):
        tape, logits = _record(model, image, seed, few)
        output = tape.slot(logits)
        steps = shorten(tape.steps, output)
    layers = live_dropouts(model)

    def run(start: int, count: int) -> Tensor:
        numbers = range(start, start + count)
        masks = {
            i: layer_masks(layers[i], i, like, seed, numbers) for i, like in tape.dropped.items()
        }
        with torch.no_grad():
            return replay(steps, tape.size, output, masks).softmax(1)

    count = _checked(model, image, seed, (most, few), run)
    say(f"{len(steps)} of {tape.calls} calls are repeated, the others run once")
    return logits.softmax(1), run, count


def _record(model: nn.Module, image: Tensor, seed: int, count: int) -> tuple[Tape, Tensor]:
    """Record a batch; what fails with a batch behind the first dropout cannot be repeated."""
    try:
        with recording(model, seed, range(count)) as tape:
            logits = model(image)
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise Unrepeatable(f"it does not take a batch of passes ({error})") from error
    if not isinstance(logits, Tensor) or logits.shape[0] != count:
        raise Unrepeatable("it does not return one map a pass")
    return tape, logits


def _checked(model: nn.Module, image: Tensor, seed: int, counts: tuple[int, int], run: Run) -> int:
    """The first of ``counts`` with which a replay equals the whole network.

    Looked at once per kind of network and shapes: other weights, as after a tune, change nothing in
    what is repeated. The last pass of a batch is compared, as a network that mixes the entries of
    a batch may leave the first one right. One that has its batch size built in works with the
    recorded one alone.
    """
    kinds = tuple(type(module) for module in model.modules())
    key = (kinds, repr(model), counts, image.shape, image.device.type)
    if key not in _CHECKED:
        _CHECKED[key] = next((c for c in counts if _same(model, image, seed, c, run)), 0)
    if not _CHECKED[key]:
        raise Unrepeatable("a repeated pass differs from one of the whole network")
    return _CHECKED[key]


def _same(model: nn.Module, image: Tensor, seed: int, count: int, run: Run) -> bool:
    try:
        found = run(0, count)
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return False
    expected = _whole(model, image, seed, count - 1, 1)
    return len(found) == count and torch.allclose(found[-1:], expected, atol=TOLERANCE, rtol=0)
