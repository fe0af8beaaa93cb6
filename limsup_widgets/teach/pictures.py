"""Small PNGs: figures drawn without a display, stored with a palette."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

if TYPE_CHECKING:
    from limsup_widgets.teach.claims import Verdict

INK, CLAIMED, POINTS = "#222222", "#9ecae1", "#636363"


def figure_png(figure: Figure, dpi: float = 100) -> bytes:
    """PNG bytes of a figure, cropped to its content and reduced by :func:`small_png`."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight")
    return small_png(buffer.getvalue())


def small_png(png: bytes, colours: int = 256) -> bytes:
    """The same picture on white with at most ``colours`` colours, if that makes it smaller."""
    with Image.open(io.BytesIO(png)) as opened:
        picture = opened.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    flat = Image.alpha_composite(white, picture).convert("RGB")
    buffer = io.BytesIO()
    # Without k-means the cut loses rare colours, such as that of one class in a legend.
    flat.quantize(colours, kmeans=2).save(buffer, format="png", optimize=True)
    return min(png, buffer.getvalue(), key=len)


def interval_png(verdict: Verdict) -> bytes:
    """Picture of a verdict: its differences, their mean and interval, the claimed region."""
    figure = Figure(figsize=(6, 1.15))
    axes = figure.subplots()
    differences = np.asarray(verdict.differences)
    axes.plot(differences, np.full(differences.size, 0.62), "|", color=POINTS, ms=9, mew=1.4)
    axes.plot([verdict.low, verdict.high], [0.3, 0.3], color=INK, lw=3, solid_capstyle="butt")
    axes.plot(verdict.mean, 0.3, "o", color=INK, ms=7)
    margins = [m for m in verdict.region if np.isfinite(m)]
    seen = np.concatenate([differences, margins, [0.0]])
    seen = np.append(seen, [m for m in (verdict.low, verdict.high) if np.isfinite(m)])
    pad = 0.06 * (np.ptp(seen) or 1.0)
    left, right = float(seen.min() - pad), float(seen.max() + pad)
    axes.axvspan(max(verdict.region[0], left), min(verdict.region[1], right), color=CLAIMED, lw=0)
    axes.axvline(0, color=INK, lw=0.8, ls=":")
    axes.set(xlim=(left, right), ylim=(0, 0.9), yticks=[])
    axes.set_title(
        f"{verdict.words}: mean {verdict.mean:+.3g}, 95 % interval "
        f"[{verdict.low:+.3g}, {verdict.high:+.3g}], n = {differences.size}",
        fontsize=9,
        loc="left",
    )
    axes.set_xlabel("paired difference (blue: claimed; ticks: the differences)", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure_png(figure)
