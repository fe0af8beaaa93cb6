"""The demo's report: one HTML file that holds its pictures and loads nothing."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PillowImage

from limsup_widgets.teach.results import stored_result
from limsup_widgets.view import html
from limsup_widgets.view.figures import difference, overlay, uncertainty_rgb
from limsup_widgets.view.palette import class_palette

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from limsup_widgets.demo import Round

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem;
color:#1b1b1b;background:#fff}
h1{font-size:1.7rem;margin-bottom:.2rem} h2{margin-top:2.2rem;font-size:1.25rem}
.row{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:12px}
caption{white-space:nowrap;color:#444;font-size:.93rem}
table{border-collapse:collapse;margin:.8rem 0} td,th{border-bottom:1px solid #ddd}
.note{color:#444;font-size:.93rem} code{background:#f2f2f2;padding:0 .25em}
"""


def _pictures(r: Round) -> str:
    palette = class_palette(len(r.classes))
    base = r.image if r.scribbled is None else r.scribbled
    shown = [
        (overlay(base, r.scribbles, palette, alpha=1.0), "scribbles", "Image with the strokes"),
        (overlay(r.image, r.before, palette), "before", "Classes before tuning"),
        (overlay(r.image, r.after, palette), "after", "Classes after tuning"),
        (difference(r.image, r.before, r.after, palette), "what changed", "Changed pixels"),
        (uncertainty_rgb(r.uncertainty), "uncertainty (bright = unsure)", "Total uncertainty map"),
    ]
    if r.truth is not None:
        shown.insert(3, (overlay(r.image, r.truth, palette), "reference", "Reference classes"))
    figures = "".join(
        html.picture_html(rgb, f"{alt}: {r.title}", caption) for rgb, caption, alt in shown
    )
    return f'{html.legend_html(r.classes, palette)}<div class="row">{figures}</div>'


def _dice_table(r: Round) -> str:
    n = r.numbers
    pairs = zip(n["dice_per_class_before"], n["dice_per_class_after"], strict=True)
    rows = [
        (name, *("–" if v is None else f"{v:.3f}" for v in pair))
        for name, pair in zip(r.classes, pairs, strict=True)
    ]
    rows.append(("mean", f"{n['dice_before']:.3f}", f"{n['dice_after']:.3f}"))
    caption = "Dice on the three images that were never scribbled, pixels pooled"
    return html.table_html(("class", "before", "after"), rows, caption)


def _agreement_table(r: Round) -> str:
    n = r.numbers
    names = {
        "before": "nearest class mean of the scribbles (before)",
        "after": "tuned network",
        "random_forest": "random forest on hand-made features",
    }
    rows = [(text, f"{n[f'agreement_{key}']:.3f}") for key, text in names.items()]
    return html.table_html(("method", "agreement"), rows, "Pixels outside the scribbles") + (
        '<p class="note">The reference is a rule on the two stains (Otsu thresholds), a proxy: a '
        "forest that sees colours can copy such a rule, so it may win here.</p>"
    )


def _area_table(r: Round) -> str:
    keys = [k for k in ("before", "after", "random_forest", "true") if f"area_{k}" in r.numbers]
    rows = [
        (name, *(f"{100 * r.numbers[f'area_{k}'][i]:.1f} %" for k in keys))
        for i, name in enumerate(r.classes)
    ]
    table = html.table_html(("area", *(k.replace("_", " ") for k in keys)), rows, "Area fractions")
    if "area_halfwidth" not in r.numbers:
        return table
    return table + (
        f'<p class="note">After tuning, {escape(r.classes[0])} covers '
        f"{100 * r.numbers['area_after'][0]:.1f} % ± {100 * r.numbers['area_halfwidth']:.1f} %: a "
        "90 % interval calibrated on the other simulated patients under this recipe. It says "
        "nothing about other tissue.</p>"
    )


def _timing(r: Round) -> str:
    n = r.numbers
    return (
        f'<p class="note">{n["scribbled_pixels"]:,} scribbled pixels; tuning took '
        f"{n['tune_seconds']:.1f} s, the uncertainty of one image {n['uncertainty_seconds']:.2f} s "
        f"({n['mc_passes']} passes).</p>"
    )


def _section(r: Round) -> str:
    tables = _area_table(r)
    if "dice_before" in r.numbers:
        tables = _dice_table(r) + tables
    if "agreement_before" in r.numbers:
        tables = _agreement_table(r) + tables
    return f"<h2>{escape(r.title)}</h2>{_pictures(r)}{tables}{_timing(r)}"


def cohort_figure(rows: Sequence[tuple[str, float, float]], marked: str) -> Figure:
    """Dice before and after of every patient, losers included; ``marked`` stands out.

    ``rows`` are (patient, before, after).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained", dpi=110)
    axis = figure.subplots()
    ordered = sorted(rows, key=lambda r: r[1])
    for x, (name, before, after) in enumerate(ordered):
        colour = "#0072b2" if after >= before else "#d55e00"
        axis.plot([x, x], [before, after], color=colour, lw=4 if name == marked else 1.8)
        axis.plot(x, before, "o", mfc="white", mec=colour)
        axis.plot(x, after, "o" if after >= before else "v", color=colour)
    axis.set_xticks(range(len(ordered)), [r[0] for r in ordered], fontsize=8, rotation=60)
    axis.set(ylabel="mean Dice", ylim=(0, 1), title="open: before, filled: after; ▼: worse")
    return figure


def _cohort_section(marked: str) -> str:
    stored = stored_result("ls02")
    before, after = (
        {r["patient"]: float(r["mean"]) for r in stored.select(cohort=5000, arm=arm)}  # type: ignore[arg-type]
        for arm in ("U0D", "U0D flat")
    )
    rows = [(str(p), before[p], after[p]) for p in before]
    gains = np.array([b - a for _, a, b in rows])
    stream = io.BytesIO()
    cohort_figure(rows, marked).savefig(stream, format="png")
    with PillowImage.open(stream) as picture:
        rgb = np.asarray(picture.convert("RGB"))
    text = (
        f"{(gains > 0).sum()} of {len(rows)} patients improve, median gain "
        f"{np.median(gains):+.3f}, worst {gains.min():+.3f}, best {gains.max():+.3f}."
    )
    return (
        f"<h2>All {len(rows)} patients</h2><p>One patient proves nothing. {text} The demo's "
        f"patient {marked} (thick line) was fixed in advance: the median before tuning.</p>"
        + html.picture_html(rgb, f"Dice before and after tuning per patient: {text}")
        + f'<p class="note">Stored result, made by <code>{escape(stored.command)}</code> at '
        f"commit {stored.commit}.</p>"
    )


def write_report(path: Path, rounds: Sequence[Round], result: dict[str, Any]) -> None:
    """Write ``path``; the stored cohort stands beside the patient's round."""
    body = "".join(
        _section(r) + (_cohort_section(r.numbers["id"]) if "id" in r.numbers else "")
        for r in rounds
    )
    versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>limsup demo</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        "<h1>A few scribbles, one tuned network</h1>"
        "<p>What the network said before, what it says after a person scribbled, and where it is "
        "still unsure. Not for clinical use.</p>"
        f'{body}<p class="note">Device {result["device"]}, seed {result["seed"]}; '
        f"{escape(versions)}.</p></body></html>\n",
        encoding="utf-8",
    )
