"""The overview page of the part "Weak supervision", from ``results/ws.json`` and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from matplotlib.figure import Figure

from limsup_widgets.data.blobs import blobs
from limsup_widgets.data.supervision import OVERLOOKED, RADIUS
from limsup_widgets.data.weak import SYNTHETIC
from limsup_widgets.teach.chapters import chapter_path
from limsup_widgets.teach.curves import curve, levels, select
from limsup_widgets.teach.overview import SIGNS, Comparison, compare, situations, tally
from limsup_widgets.teach.pictures import figure_png
from limsup_widgets.teach.results import Result, stored_result
from limsup_widgets.view.dial import draw_curves
from limsup_widgets.view.weak_figure import weak_label_sheet

BOOK = Path(__file__).resolve().parent
PAGE, PICTURES = "weak-supervision", "overview"
CONTROL, CEILING = "partial cross-entropy", "full supervision"
FAMILIES: dict[str, tuple[str, ...]] = {
    "pairwise terms": ("Laplacian", "Potts, grid", "Potts, dilated", "normalised cut"),
    "confidence and balance": ("entropy", "min-entropy", "mutual information"),
    "sizes known for the cohort": (
        "cohort ratio (KL, dual)",
        "common bounds (L2)",
        "common bounds (barrier)",
    ),
    "own predictions as labels": ("self-training", "class-balanced self-training"),
    "a size for each image": ("own size (KL)", "own size (L2)"),
    "tags alone": ("CAM pseudo-masks",),
}
TAUGHT = {
    "Laplacian": ("ws02", "unlabelled pixels; contrast at edges"),
    "Potts, grid": ("ws02", "unlabelled pixels; contrast at edges"),
    "Potts, dilated": ("ws02", "unlabelled pixels; contrast at edges"),
    "normalised cut": ("ws02", "unlabelled pixels; contrast at edges"),
    "entropy": ("ws03", "unlabelled pixels; a good start"),
    "min-entropy": ("ws03", "unlabelled pixels; a good start"),
    "mutual information": ("ws04", "classes of equal size"),
    "cohort ratio (KL, dual)": ("ws07", "the mean size over a cohort"),
    "common bounds (L2)": ("ws06", "a range of sizes for the cohort, and tags"),
    "common bounds (barrier)": ("ws06", "a range of sizes for the cohort, and tags"),
    "self-training": ("ws08", "unlabelled pixels; a good start"),
    "class-balanced self-training": ("ws08", "unlabelled pixels; a good start"),
    "own size (KL)": ("ws06", "a size for every labelled image"),
    "own size (L2)": ("ws06", "a size for every labelled image"),
    "CAM pseudo-masks": ("ws05", "tags, and a classifier that looks at the object"),
}
KINDS = {"point": "points", "scribble": "scribbles", "point+size": "points and a size"}


def write_overview(book: Path) -> None:
    """Write the page and its pictures below the book's folder."""
    study = stored_result("ws")
    pictures = book / "_static" / PICTURES
    pictures.mkdir(parents=True, exist_ok=True)
    toy = blobs(12, 3)
    sheet = weak_label_sheet(toy.images[0, 0], toy.masks[0])
    (pictures / "labels.png").write_bytes(figure_png(sheet))
    families = []
    for number, (family, methods) in enumerate(FAMILIES.items()):
        name = f"family{number}.png"
        (pictures / name).write_bytes(figure_png(family_figure(study, methods)))
        families += [
            f"### {family.capitalize()}",
            picture(name, family_alt(study, family, methods)),
        ]
    template = Template((BOOK / "overview.md.in").read_text(encoding="utf-8"))
    page = template.substitute(facts(study), families="\n\n".join(families))
    (book / f"{PAGE}.md").write_text(page, encoding="utf-8")


def facts(study: Result) -> dict[str, object]:
    """What the page says, from the study."""
    kinds = ("tag", "point", "size", "scribble", "dense")
    table = {m: comparisons(study, m, 0.0) for members in FAMILIES.values() for m in members}
    table = {method: found for method, found in table.items() if found}
    noise = max(row["noise"] for row in study.rows)
    alt = "One toy image with its dense mask and each kind of weak label drawn on it."
    return {
        "labels": picture("labels.png", alt),
        "costs": ", ".join(f"{kind} {SYNTHETIC.of(kind):g}" for kind in kinds),
        "ws01": link("ws01"),
        "seeds": len({row["seed"] for row in study.rows}),
        "signs": ", ".join(f"{sign} {word}" for word, sign in SIGNS.items()),
        "table": which_when(table),
        "needs": what_they_need(table),
        "recommendation": recommendation(table),
        "noise": f"{noise:g}",
        "radius": f"{RADIUS * noise:g}",
        "overlooked": f"{OVERLOOKED * noise:.0%}",
        "noisy": noise_table(study, noise),
        "command": study.command,
        "runs": len(study.rows),
        "cpu": f"{study.cpu_seconds / 60:.0f}",
        "commit": study.commit,
        "versions": ", ".join(f"{name} {v}" for name, v in study.versions.items()),
    }


def kinds_of(study: Result, methods: Sequence[str]) -> list[str]:
    """Kinds of label with which the methods were run."""
    return levels([row for row in study.rows if row["method"] in methods], "kind")


def family_figure(study: Result, methods: Sequence[str]) -> Figure:
    """One panel per kind of label: the methods, the control, and full supervision."""
    kinds = kinds_of(study, methods)
    figure = Figure(figsize=(max(5.4, 4.4 * len(kinds)), 3.6), layout="constrained")
    panels = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    ceiling = curve(select(study.rows, method=CEILING, noise=0.0), f"{CEILING}, same minutes")
    for axes, kind in zip(panels, kinds, strict=True):
        where: dict[str, Any] = {"kind": kind, "noise": 0.0}
        names = [CONTROL, *methods]
        drawn = [curve(_widest(study, name, where), name) for name in names]
        draw_curves(axes, [one for one in drawn if len(one.x)], ceiling)
        axes.set_title(KINDS.get(kind, f"{kind}s"), fontsize=10)
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, fontsize=8, loc="outside lower center", ncols=3)
    return figure


def _widest(study: Result, method: str, where: dict[str, Any]) -> list[Any]:
    """Rows of a method with the largest pool it was given."""
    found = select(study.rows, method=method, **where)
    pool = max((row["unlabelled"] for row in found), default=0)
    return select(found, unlabelled=pool)


def family_alt(study: Result, family: str, methods: Sequence[str]) -> str:
    """What the figure of a family shows."""
    told = []
    for kind in kinds_of(study, methods):
        where: dict[str, Any] = {"kind": kind, "noise": 0.0}
        ends = [
            f"{name} {curve(rows).mean[-1]:.2f}"
            for name in (CONTROL, *methods)
            if (rows := _widest(study, name, where))
        ]
        told.append(f"with {KINDS.get(kind, kind + 's')} at the largest budget {', '.join(ends)}")
    return f"Dice against minutes, {family}: {'; '.join(told)}."


def picture(name: str, alt: str) -> str:
    """Markdown of one picture."""
    return f"![{alt}](_static/{PICTURES}/{name})"


def comparisons(study: Result, method: str, noise: float) -> list[Comparison]:
    """A method in all situations with this noise."""
    found = (
        compare(study.rows, method, CONTROL, **where)
        for where in situations(study.rows, method)
        if where["noise"] == noise and where["kind"] in KINDS
    )
    return [one for one in found if one is not None]


def which_when(table: dict[str, list[Comparison]]) -> str:
    """One table a kind of label: a row a method, a column a budget, verdicts from intervals."""
    kinds = list(dict.fromkeys(c.situation[0] for found in table.values() for c in found))
    return "\n\n".join(
        f"**{KINDS[kind].capitalize()}**\n\n{of_kind(table, kind)}" for kind in kinds
    )


def of_kind(table: dict[str, list[Comparison]], kind: str) -> str:
    """The table of one kind of label."""
    known = {m: [c for c in found if c.situation[0] == kind] for m, found in table.items()}
    known = {method: found for method, found in known.items() if found}
    minutes = list(dict.fromkeys(c.situation[1] for found in known.values() for c in found))
    rows = [["method", "chapter", *(f"{m:g} min" for m in minutes)]]
    for method, found in known.items():
        cells = {c.situation[1]: c.short for c in found}
        chapter = TAUGHT[method][0]
        told = [cells.get(m, "–") for m in minutes]
        rows.append([method, f"[{chapter}]({link(chapter)})", *told])
    return as_table(rows)


def what_they_need(table: dict[str, list[Comparison]]) -> str:
    """What a method has to be told, and how often its verdicts fell which way."""
    rows = [["method", "what it needs", "in all situations"]]
    rows += [[method, TAUGHT[method][1], tally(found)] for method, found in table.items()]
    return as_table(rows)


def as_table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown table; the first row is its head."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def recommendation(table: dict[str, list[Comparison]]) -> str:
    """For each situation, the method with the largest sure gain, or none."""
    by_situation: dict[tuple[Any, ...], list[Comparison]] = {}
    for found in table.values():
        for one in found:
            by_situation.setdefault(one.situation, []).append(one)
    lines = []
    for situation, found in by_situation.items():
        where = f"**{situation[1]:g} minutes of {KINDS[situation[0]]}:**"
        sure = sorted((c for c in found if c.words == "better"), key=lambda c: -c.difference)
        if not sure:
            lines.append(f"- {where} no term beat partial cross-entropy for sure.")
            continue
        told = "; ".join(
            f"{c.method} {100 * c.difference:+.1f} (to {c.dice:.2f})" for c in sure[:3]
        )
        more = f", and {len(sure) - 3} more" if len(sure) > 3 else ""
        lines.append(f"- {where} {told}{more}.")
    return "\n".join(lines)


def noise_table(study: Result, noise: float) -> str:
    """Verdicts with clean and with noisy labels, methods that were run with both."""
    rows = [["method", "clean labels", "noisy labels"]]
    for method in (m for m in levels(study.rows, "method") if m != CONTROL):
        clean, spoilt = (comparisons(study, method, n) for n in (0.0, noise))
        if clean and spoilt:
            rows.append([method, tally(clean), tally(spoilt)])
    return as_table(rows)


def link(id: str) -> str:
    """Address of a chapter, seen from the page."""
    path = chapter_path(id)
    return f"../notebooks/{path.parent.name}/{path.name}"
