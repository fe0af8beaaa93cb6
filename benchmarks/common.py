"""What all benchmarks share: options, the record, the printed table, the file.

A benchmark is a script: ``options`` reads its command line, ``timing`` measures its ways,
``record`` puts the figures together, ``finish`` prints and stores them. With ``--quick`` it runs
tiny sizes and stores nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from plots import write_pictures
from timing import ratios

RESULTS = Path(__file__).resolve().parent / "results"
PICTURES = RESULTS.parent.parent / "build" / "benchmarks"
DIGITS = 4
Record = dict[str, Any]


def options(
    doc: str | None, argv: Sequence[str] | None = None, **sizes: tuple[Any, Any]
) -> argparse.Namespace:
    """The command line: common options, and sizes as ``name=(full, quick)``; sets the threads.

    ``--ratios-only`` asks for no more than what the guard compares, ``--only`` for the peak memory
    of one way (see ``memory``). ``command`` is what to type to get the record again.
    """
    parser = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, nothing is stored")
    parser.add_argument("--ratios-only", action="store_true", help="what the guard needs, no more")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the record")
    parser.add_argument("--only", help="run one way alone and print its peak memory in MiB")
    for name, (full, quick) in sizes.items():
        parser.add_argument(f"--{name}", type=type(full), help=f"{full}, with --quick {quick}")
    found = parser.parse_args(argv)
    found.command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}"])
    for name in ("device", "threads", *sizes):
        given = getattr(found, name)
        if given is not None and given != parser.get_default(name):
            found.command += f" --{name} {given}"
    for name, (full, quick) in sizes.items():
        if getattr(found, name) is None:
            setattr(found, name, quick if found.quick else full)
    torch.set_num_threads(found.threads)
    return found


def record(
    name: str,
    title: str,
    seconds: Mapping[str, Sequence[float]],
    *,
    ours: str,
    naive: str,
    options: argparse.Namespace,
    max_abs_diff: float | None = None,
    guarded: Sequence[str] = (),
    **more: Any,
) -> Record:
    """One benchmark's figures: medians, spread, and ratios that were paired within a round.

    Parameters
    ----------
    name, title
        Name of the script and of its file; one line for a reader.
    seconds
        Way → seconds of each round, as ``timing.interleaved`` returns them.
    ours, naive
        Which way is limsup's, and which one all is compared with.
    max_abs_diff
        Largest difference between our result and the naive one, under the same masks or inputs.
    guarded
        More ways than ``naive`` whose ratio to ours the guard compares.
    more
        Further fields: ``figures``, ``tables``, ``goals``, ``notes``, ``code``, ``ratios`` (name →
        number, all guarded; larger is better); see ``plots`` and ``book/speed.py``.
    """
    pairs = {way: ratios(values, seconds[ours]) for way, values in seconds.items() if way != ours}
    own = {way: statistics.median(pairs[way]) for way in dict.fromkeys((naive, *guarded))}
    found: Record = {
        "name": name,
        "title": title,
        "command": options.command,
        "ours": ours,
        "naive": naive,
        "ours_s": statistics.median(seconds[ours]),
        "peers": {way: statistics.median(seconds[way]) for way in pairs},
        "ratio_vs_naive": own[naive],
        "ratio_range": [min(pairs[naive]), max(pairs[naive])],
        "ratios": {f"{way} / {ours}": value for way, value in own.items()},
        "max_abs_diff": max_abs_diff,
        "spread": {way: [min(values), max(values)] for way, values in seconds.items()},
        "rounds": len(seconds[ours]),
        "device": options.device,
        "machine": machine(options.device),
    }
    found["ratios"] |= more.pop("ratios", {})
    return tidy(found | more)


def tidy(value: Any) -> Any:
    """Plain Python for JSON: numbers with four digits, what is no number as None.

    Examples
    --------
    >>> tidy({"a": (1.23456789, float("nan")), "b": 12})
    {'a': [1.235, None], 'b': 12}
    """
    if isinstance(value, Mapping):
        return {str(key): tidy(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)) or hasattr(value, "tolist"):
        plain = value.tolist() if hasattr(value, "tolist") else value
        return [tidy(inner) for inner in plain] if isinstance(plain, (list, tuple)) else tidy(plain)
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def table(record: Record) -> str:
    """Each way in one line: median, range over the rounds, and how many times ours it takes."""
    medians = {**record["peers"], record["ours"]: record["ours_s"]}
    width = max(map(len, medians))
    lines = [record["title"]]
    for way, value in medians.items():
        low, high = record["spread"][way]
        times = value / record["ours_s"]
        lines.append(f"  {way:{width}} {value:9.3f} s  ({low:.3f}–{high:.3f}) {times:7.2f} × ours")
    if record["max_abs_diff"] is not None:
        lines.append(f"  largest difference: {record['max_abs_diff']:.1e}")
    lines += [f"  {goal_line(goal)}" for goal in record.get("goals", [])]
    return "\n".join(lines)


def stage_table(found: Mapping[str, Mapping[str, Sequence[float]]], title: str) -> dict[str, Any]:
    """A table for ``tables`` of what ``timing.staged`` returns: medians and ranges by stage.

    Examples
    --------
    >>> stage_table({"limsup": {"first": [0.3, 0.5, 0.4]}}, "Stages")["rows"]
    [['limsup', 'first', 0.4, 0.3, 0.5]]
    """
    rows = [
        [way, stage, statistics.median(values), min(values), max(values)]
        for way, stages in found.items()
        for stage, values in stages.items()
    ]
    return {"title": title, "head": ["way", "until", "seconds", "least", "most"], "rows": rows}


def goal(what: str, found: float, at_least: float | None = None, at_most: float | None = None):
    """One promise with what was found; ``at_least`` or ``at_most`` says what was promised."""
    return {"what": what, "found": found, "at_least": at_least, "at_most": at_most}


def met(goal: Mapping[str, Any]) -> bool:
    """Whether a promise is kept.

    Examples
    --------
    >>> met(goal("ratio", 4.2, at_least=4)), met(goal("GiB", 2.5, at_most=2))
    (True, False)
    """
    low, high = goal.get("at_least"), goal.get("at_most")
    return (low is None or goal["found"] >= low) and (high is None or goal["found"] <= high)


def goal_line(goal: Mapping[str, Any]) -> str:
    """The promise in words.

    Examples
    --------
    >>> goal_line(goal("times the naive loop", 4.2, at_least=4))
    'times the naive loop: 4.2, promised at least 4: kept'
    """
    least = goal.get("at_least") is not None
    bound = f"at least {goal['at_least']:g}" if least else f"at most {goal['at_most']:g}"
    verdict = "kept" if met(goal) else "missed"
    return f"{goal['what']}: {goal['found']:.3g}, promised {bound}: {verdict}"


def finish(record: Record, options: argparse.Namespace) -> None:
    """Print the table; unless ``--quick``, store the record, and draw it in ``build/``."""
    if options.quick:
        print(table(record | {"goals": []}), flush=True)
        return
    print(table(record), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{record['name']}-{record['device']}.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if not options.ratios_only:
        write_pictures(record, PICTURES)


def machine(device: str = "cpu") -> str:
    """What it ran on: processor or accelerator, threads, version of torch."""
    name = torch.cuda.get_device_name() if device == "cuda" else cpu_name()
    threads = torch.get_num_threads()
    return f"{name}; {threads} CPU thread{'s' * (threads > 1)}; torch {torch.__version__}"


def cpu_name() -> str:
    """Model of the processor, as Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
