"""Partly labelled abdomens: ``python results/ws07.py`` writes ``results/ws07.json``.

One row per seed and arm: Dice, correlation of areas and ratio of predicted to true area on 40 test
patients, per organ. Arms differ in what is done with the 24 patients of whom one organ is known, in
the prior's numbers (``q``) and in its strength; the last ones live in a cohort with large kidneys.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from limsup_chapters import ws07
from limsup_widgets.data.abdomen import ORGANS, abdomens
from limsup_widgets.learn.weakly import posterior
from limsup_widgets.teach.results import write_result

SEEDS = tuple(range(100, 105))
STRENGTH = 1.0
TEST, OTHERS = 10_000, 20_000
Row = dict[str, float | int | str]


def shares(people: Any, *who: int) -> torch.Tensor:
    """Mean share of each class over some patients, all if none is named."""
    rows = people.shares()[list(who)] if who else people.shares()
    return torch.tensor(rows.mean(0), dtype=torch.float32)


def doubled(q: torch.Tensor) -> torch.Tensor:
    """Kidneys and aorta twice as large, at the background's cost."""
    q = q.clone()
    q[[3, 5]] *= 2
    q[0] = 1 - q[1:].sum()
    return q


def usual(data: Any, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and parts of every arm in the usual cohort."""
    people, _, _, complete = data
    q, more = shares(people, *complete), abdomens(16, seed + OTHERS, size=48)
    yield "full only", {"pooled": False}
    yield "background", {"part": ws07.silence_is_background}
    yield "pseudo", {"part": ws07.pseudo_ce}
    yield "marginal", {"part": ws07.marginal_ce}
    for name in ("image", "batch", "data set"):
        yield f"marginal + {name}", {"part": ws07.marginal_ce, "prior": ws07.PRIORS[name](q)}
    yield "pseudo + data set", {"part": ws07.pseudo_ce, "prior": ws07.DualPrior(q)}
    priors = {"1 case": shares(people, complete[0]), "16 other cases": shares(more)}
    priors |= {"the wrong size": doubled(q)}
    for name, other in priors.items():
        yield f"q of {name}", {"part": ws07.marginal_ce, "prior": ws07.DualPrior(other)}


def row(seed: int, cohort: str, arm: str, prob: Any, masks: Any) -> Row:
    """Scores of one arm, flat."""
    dice, rank = ws07.scores(prob, masks)
    ratio = [float((prob.argmax(1) == c).sum() / (masks == c + 1).sum()) for c in range(1, 6)]
    made: Row = {"seed": seed, "cohort": cohort, "arm": arm}
    for name, values in {"dice": dice, "rank": rank, "ratio": ratio}.items():
        made |= {f"{name} {o}": round(float(v), 4) for o, v in zip(ORGANS, values, strict=True)}
    return made


def one_cohort(seed: int) -> list[Row]:
    """All arms of the usual cohort, the rescaled network among them."""
    data, test = ws07.hospitals(seed), abdomens(40, seed + TEST, size=48)
    people, _, _, complete = data
    net, weights = ws07.first_network(seed, *data)
    rows = [row(seed, "usual", "before", posterior(net, test.images), test.masks)]
    for arm, parts in usual(data, seed):
        made = ws07.second_stage(net, seed, data, weights, strength=STRENGTH, **parts)
        rows.append(row(seed, "usual", arm, posterior(made, test.images), test.masks))
        if arm == "marginal":
            prob = shifted(made, people, complete, test)
            rows.append(row(seed, "usual", "marginal, rescaled", prob, test.masks))
    return rows


def shifted(net: Any, people: Any, complete: Any, test: Any) -> Any:
    """Posteriors of the test patients after the shift that fits the incomplete cases to q."""
    rest = np.setdiff1d(np.arange(len(people)), complete)
    with torch.no_grad():
        there, here = (net(torch.from_numpy(x)) for x in (people.images[rest], test.images))
        shift = ws07.matching_shift(there, shares(people, *complete))
        return (here + shift[:, None, None]).softmax(1).numpy()


def large_kidneys(seed: int) -> list[Row]:
    """A cohort with kidneys of 1.8 times the area under a prior from healthy people."""
    ill = {"kidneys": 1.8}
    data, test = ws07.hospitals(seed, megaly=ill), abdomens(40, seed + TEST, size=48, megaly=ill)
    net, weights = ws07.first_network(seed, *data)
    q = shares(abdomens(16, seed + OTHERS, size=48))
    rows = []
    for strength in (0.0, 1.0, 4.0):
        parts = {"part": ws07.marginal_ce, "prior": ws07.DualPrior(q), "strength": strength}
        made = ws07.second_stage(net, seed, data, weights, **parts)
        prob = posterior(made, test.images)
        rows.append(row(seed, "large kidneys", f"prior x {strength:g}", prob, test.masks))
    return rows


def job(seed: int) -> tuple[list[Row], float]:
    """Both cohorts of one seed, and the CPU seconds."""
    torch.set_num_threads(1)
    start = time.process_time()
    return [*one_cohort(seed), *large_kidneys(seed)], time.process_time() - start


def study(processes: int = 1) -> None:
    """Run all seeds and write the result."""
    rows: list[Row] = []
    cpu, named = 0.0, {"command": "python results/ws07.py", "seeds": SEEDS}
    with ProcessPoolExecutor(processes) as pool:
        for found, seconds in tqdm(pool.map(job, SEEDS), total=len(SEEDS)):
            rows, cpu = rows + found, cpu + seconds
            # After every seed, so that a long run can be looked at.
            write_result("ws07", rows, cpu_seconds=cpu, **named)


if __name__ == "__main__":
    study(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
