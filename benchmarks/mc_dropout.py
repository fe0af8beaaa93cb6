"""Monte Carlo dropout: limsup's passes against the loops that people write, and two toolkits.

``python benchmarks/mc_dropout.py [--device cuda] [--side 512] [--passes 50]``. The network is the
shipped U0^D, the image scikit-image's stained section. All ways run in turn in each round.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from itertools import count, pairwise
from typing import Any

import torch
from common import finish, goal, options, record
from mc_curve import error_curves
from mc_profile import TRIES, explain
from memory import peak_here, peaks
from peers import baal_predict, peer_state, torch_uncertainty_predict
from timing import interleaved
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from limsup_widgets.data.ihc import ihc_image
from limsup_widgets.learn.dropout import dropout_masks
from limsup_widgets.learn.infer import evaluating
from limsup_widgets.learn.moments import mc_moments
from limsup_widgets.learn.passes import pass_batches
from limsup_widgets.learn.unet import UNet
from limsup_widgets.learn.weights import load_u0

Maps = tuple[Tensor, Tensor]
Way = Callable[[Any, Tensor, int], Maps]


def naive(model: nn.Module, x: Tensor, passes: int) -> Maps:
    """The loop as people write it: dropout on, T calls, a stack, mean and variance."""
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.Dropout2d):
            module.train()
    with torch.no_grad():
        stack = torch.stack([model(x[None]).softmax(1)[0] for _ in range(passes)])
    return stack.mean(0), stack.var(0, unbiased=False)


def naive_channels_last(model: nn.Module, x: Tensor, passes: int) -> Maps:
    """The same loop with weights and image in the layout that convolutions like."""
    model = model.to(memory_format=torch.channels_last)
    image = x[None].contiguous(memory_format=torch.channels_last)
    return naive(model, image[0], passes)


def ours(model: nn.Module, x: Tensor, passes: int, seed: int = 0) -> Maps:
    """What limsup's views call."""
    moments = mc_moments(model, x, passes, seed)
    return torch.from_numpy(moments.mean), torch.from_numpy(moments.epistemic)


def with_masks(run: Callable[[], Tensor], model: nn.Module, passes: int) -> Maps:
    """Moments of ``run`` under limsup's masks, one pass at a time, as running sums."""
    first, second = torch.zeros(()), torch.zeros(())
    for number in range(passes):
        with evaluating(model), dropout_masks(model, 0, [number]):
            p = run().softmax(1)[0]
        first, second = first + p, second + p * p
    return first / passes, second / passes - (first / passes) ** 2


def nothing_shared(model: nn.Module, x: Tensor, passes: int) -> Maps:
    """limsup's masks and layout, the whole network in every pass."""
    image = x[None].contiguous(memory_format=torch.channels_last)
    return with_masks(lambda: model(image), model, passes)


def prefix_shared(model: UNet, x: Tensor, passes: int) -> Maps:
    """What lies before the first dropout runs once; nothing else is changed."""
    with evaluating(model):
        shared = model.prefix(x[None].contiguous(memory_format=torch.channels_last))
    return with_masks(lambda: model.suffix(shared), model, passes)


def norms_folded(model: nn.Module) -> nn.Module:
    """The network with batch normalisation folded into the convolutions, in place."""
    for block in list(model.eval().modules()):
        if isinstance(block, nn.Sequential):
            for place, (conv, norm) in enumerate(pairwise(block)):
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    block[place], block[place + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return model


OURS, NAIVE, LAST = "limsup", "naive loop", "naive loop, channels_last"
WHOLE, PREFIX, FOLDED = "nothing shared", "prefix shared", "prefix shared, norms folded"
BAAL, TU = "baal", "torch-uncertainty"
WAYS: dict[str, Way] = {
    NAIVE: naive,
    LAST: naive_channels_last,
    WHOLE: nothing_shared,
    PREFIX: prefix_shared,
    FOLDED: prefix_shared,
    OURS: ours,
    BAAL: baal_predict,
    TU: torch_uncertainty_predict,
}
SLOW = (BAAL, TU)
"""Ways that take twice the naive loop's time: run in fewer rounds."""
STEPS = (WHOLE, PREFIX, FOLDED)
"""Ways that nobody would use, there to tell the parts of the gain apart: in fewer rounds, too."""
WEIGHED = (OURS, NAIVE, BAAL)
"""Ways whose memory is measured, each in a process of its own."""
LADDER = {
    NAIVE: "as people write it",
    LAST: "layout",
    WHOLE: "running sums instead of a stack",
    PREFIX: "everything before the first dropout once",
    FOLDED: "batch normalisation folded",
    OURS: "skip convolutions split, and the rest",
}


def network(way: str, device: str) -> nn.Module:
    """A network of its own for each way, as some change weights, layout or modules for good."""
    torch.manual_seed(0)
    model = load_u0(dropout=True).to(device).eval()
    if way in STEPS:
        model = model.to(memory_format=torch.channels_last)
    return norms_folded(model) if way == FOLDED else model


def section(side: int, device: str) -> Tensor:
    """The stained section ``(3, side, side)``, normalised; tiled where it is too small."""
    x = load_u0(dropout=True).card.normalizer(ihc_image().array)
    times = -(-side // x.shape[-1])
    return x.repeat(1, times, times)[:, :side, :side].contiguous().to(device)


def exactness(model: nn.Module, x: Tensor, passes: int = 8) -> float:
    """Largest difference between shared passes and whole ones under the same masks."""
    shared = torch.cat(list(pass_batches(model, x, passes)))
    rows = []
    for number in range(passes):
        with evaluating(model), dropout_masks(model, 0, [number]):
            rows.append(model(x[None]).softmax(1))
    return float((shared - torch.cat(rows)).abs().max())


def peak_memory(names: list[str], asked: Namespace) -> dict[str, float | None]:
    """MiB of each way: in a process of its own, or as the accelerator counts them."""
    if asked.device == "cpu":
        same = ["--side", str(asked.side), "--passes", str(asked.passes)]
        return peaks(names, [*same, "--threads", str(asked.threads)])
    found: dict[str, float | None] = {}
    for name in names:
        torch.cuda.reset_peak_memory_stats()
        WAYS[name](network(name, asked.device), section(asked.side, asked.device), asked.passes)
        found[name] = torch.cuda.max_memory_allocated() / 2**20
    return found


def ladder(medians: dict[str, float]) -> dict[str, Any]:
    """What each step adds: the layout's share of the gain told apart from the algorithm's."""
    rows, before = [], medians[NAIVE]
    for way, what in LADDER.items():
        rows.append([way, what, medians[way], before / medians[way], medians[NAIVE] / medians[way]])
        before = medians[way]
    head = ["way", "what is new", "seconds", "times the step before", "times the naive loop"]
    return {"title": "Where the gain comes from", "head": head, "rows": rows}


def only(asked: Namespace) -> None:
    """One way in this process, for its memory."""
    model, x = network(asked.only, asked.device), section(asked.side, asked.device)
    print(peak_here(lambda: WAYS[asked.only](model, x, asked.passes)))


def main() -> None:
    """Time every way in every round, look at memory, error and limits, write."""
    asked = options(
        __doc__, side=(512, 64), passes=(50, 4), rounds=(2, 2), reference=(1000, 20), slow=(1, 1)
    )
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if asked.only:
        only(asked)
        return
    state = {} if asked.quick or asked.ratios_only else peer_state()
    names = [NAIVE, LAST, OURS] if asked.ratios_only else list(WAYS)
    names = [name for name in names if name not in (BAAL, TU) or state.get(name, {}).get("runs")]
    x = section(asked.side, asked.device)
    models = {name: network(name, asked.device) for name in names}
    ways = {name: partial(WAYS[name], models[name], x, asked.passes) for name in names}
    warm = {name: partial(WAYS[name], models[name], x, 3) for name in names}
    fewer = dict.fromkeys((*SLOW, *STEPS), asked.slow)
    seconds = interleaved(ways, asked.rounds, asked.device, warm, fewer)
    found = record(
        "mc_dropout",
        f"{asked.passes} dropout passes, {asked.side}×{asked.side}×3, U0^D",
        seconds,
        ours=OURS,
        naive=NAIVE,
        options=asked,
        max_abs_diff=exactness(models[OURS], x),
        guarded=[LAST],
    )
    if not asked.ratios_only:
        found |= more(found, models, x, asked) | {"peer_state": state}
    finish(found, asked)


def more(
    found: dict[str, Any], models: dict[str, nn.Module], x: Tensor, asked: Namespace
) -> dict[str, Any]:
    """Everything beside the seconds."""
    medians = {**found["peers"], OURS: found["ours_s"]}
    weighed = [name for name in WEIGHED if name in models][: 1 if asked.quick else None]
    memory = peak_memory(weighed, asked)
    shown = {"kind": "bars", "title": "Memory on top of network and image", "x": "peak, MiB"}
    seeds = count(1)
    curve = error_curves(
        {
            NAIVE: partial(naive, models[NAIVE]),
            OURS: lambda image, passes: ours(models[OURS], image, passes, next(seeds)),
        },
        models[OURS],
        x[:, : asked.side // 2, : asked.side // 2].contiguous(),
        asked.reference,
    )
    profile, notes = explain(models[OURS], models[NAIVE], x, found, 2 if asked.quick else TRIES)
    cl = found["ratios"][f"{LAST} / {OURS}"]
    return {
        "goals": [
            goal("times as fast as the naive loop", found["ratio_vs_naive"], at_least=4),
            goal("times as fast as a channels_last loop", cl, at_least=2.5),
            goal("largest difference to whole passes", found["max_abs_diff"], at_most=1e-5),
        ],
        "peak_mib": memory,
        "figures": [{**shown, "bars": memory}, *curve],
        "tables": [ladder(medians), profile],
        "notes": notes,
        "code": ["naive", "naive_channels_last", "ours"],
    }


if __name__ == "__main__":
    main()
