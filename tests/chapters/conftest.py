"""A small stored chapter that passes every check, for tests that then break it."""

import base64

import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from limsup_widgets.teach.pictures import figure_png
from limsup_widgets.teach.runner import fill_cost_line, tidy

FRONT = {
    "id": "ls91",
    "part": "ls",
    "title": "Entropy of a coin",
    "source": "a talk, slide 3",
    "needs": ["CPU"],
    "data": "synthetic coins",
    "licence": "CC BY 4.0",
    "scarce": "tosses",
    "keywords": ["coin"],
    "minutes": 0.1,
    "memory_mb": 200,
}
PNG = base64.b64encode(figure_png(Figure(figsize=(1, 1)))).decode()
PROSE = "Words lead and code follows, so each cell has a paragraph before it. " * 20
ALT = {"image": {"alt": "A parabola with its top at one half."}}


def text(tag, source):
    return new_markdown_cell(source, metadata={"tags": [tag] if tag else []})


def code(source, *tags, prints="", png=False, **metadata):
    outputs = [new_output("stream", name="stdout", text=prints)] if prints else []
    if png:
        data = {"image/png": PNG, "text/plain": "<Figure>"}
        outputs.append(new_output("display_data", data=data))
    metadata |= {"tags": list(tags)}
    return new_code_cell(source, execution_count=1, outputs=outputs, metadata=metadata)


def good_chapter():
    """The chapter; a function, so that every caller may break its own copy."""
    cells = [
        text("", "# Entropy of a coin"),
        text("takeaways", "- One.\n- Two.\n- Three."),
        text("cost", "filled later"),
        text("terms", "## Terms\n\n" + PROSE),
        text("question", "## Predict\n\nWhere is the top?"),
        code("import math", "imports"),
        code("def variance(p):\n    return p * (1 - p)", "method"),
        text("experiment", "## Experiment"),
        code("plot()", "thumbnail", png=True, mystnb=ALT),
        code(
            'claim_true("bounded", variance(0.5) <= 0.25)',
            *("claim", "nbval-check-output"),
            prints="holds: bounded (live; deterministic)\n",
        ),
        text("widget", "## Try it"),
        text("source-numbers", "## The source's numbers"),
        text("limits", "## Where it fails"),
        text("exercise", "## Exercises"),
        code(
            "from limsup_widgets.teach import check, exercise\n"
            'exercise("ls91.1", variance(0.5), wrong={1.0: "That is no variance."})',
            *("exercise", "hide-cell"),
        ),
        code('check("ls91.1", ...)', prints="ls91.1 – Not yet. Put your answer here.\n"),
        code(
            'check("ls91.1", 0.25)',
            *("solution", "hide-cell", "nbval-check-output"),
            prints="ls91.1 – Right.\n",
        ),
        text("reading", "## Further reading"),
    ]
    notebook = new_notebook(cells=cells, metadata={"limsup": dict(FRONT)})
    fill_cost_line(notebook)
    tidy(notebook)
    return notebook


@pytest.fixture
def chapter():
    return good_chapter()
