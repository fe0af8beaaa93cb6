"""Every check of a chapter can fail: one broken notebook for each thing it guards."""

import pytest
from nbformat.v4 import new_output

from limsup_widgets.teach import checks

NAME = "ls91-coin.ipynb"


def find(notebook, tag, kind="code"):
    return next(c for c in notebook.cells if tag in c.metadata["tags"] and c.cell_type == kind)


def front(**changes):
    return lambda nb: nb.metadata["limsup"].update(changes)


def edit(tag, kind="code", **changes):
    return lambda nb: find(nb, tag, kind).update(changes)


def retag(tag, *tags, kind="code"):
    return lambda nb: find(nb, tag, kind).metadata.update(tags=list(tags))


def alt(text):
    return lambda nb: find(nb, "thumbnail").metadata.update(mystnb={"image": {"alt": text}})


def output(tag, *args, **kwargs):
    return lambda nb: find(nb, tag).outputs.append(new_output(*args, **kwargs))


def drop(tag, kind="code"):
    return lambda nb: nb.cells.remove(find(nb, tag, kind))


def swap_sections(nb):
    a, b = (nb.cells.index(find(nb, t, "markdown")) for t in ("widget", "limits"))
    nb.cells[a], nb.cells[b] = nb.cells[b], nb.cells[a]


def less_prose(nb):
    find(nb, "terms", "markdown").source = "## Terms"


def long_cells(nb):
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.source += "\npass" * 7


WIDGET_ONLY = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/plain": "w"}
CASES = [
    (checks.front_matter, front(id="ls92"), "id 'ls92'"),
    (checks.front_matter, front(minutes=0), "not measured"),
    (checks.front_matter, front(title="Other"), "H1 headings"),
    (checks.section_order, drop("limits", "markdown"), "no section 'limits'"),
    (checks.section_order, swap_sections, "stands before"),
    (checks.cost_line, front(memory_mb=900), "cost line"),
    (checks.cost_line, drop("cost", "markdown"), "cost line"),
    (checks.cell_lengths, edit("claim", source="pass\n" * 31), "31 lines, at most 30"),
    (checks.cell_lengths, edit("method", source="pass\n" * 16), "16 lines, at most 15"),
    (checks.cell_lengths, edit("claim", source="x" * 89), "line of 89 characters"),
    (checks.cell_lengths, long_cells, "median code cell"),
    (checks.cell_lengths, less_prose, "words of prose"),
    (checks.alt_texts, alt(None), "alt text None"),
    (checks.alt_texts, alt("../_images/a picture of x.png"), "alt text"),
    (checks.alt_texts, alt("figure"), "alt text"),
    (checks.alt_texts, output("thumbnail", "display_data", data={"image/png": ""}), "2 pictures"),
    (
        checks.alt_texts,
        output("method", "display_data", data={"text/html": '<p><img src="x"></p>'}),
        "alt text None",
    ),
    (checks.executed, edit("method", execution_count=None), "never run"),
    (checks.executed, edit("claim", outputs=[]), "no output"),
    (
        checks.clean_outputs,
        output("method", "error", ename="ValueError", evalue="", traceback=[]),
        "ValueError",
    ),
    (checks.clean_outputs, output("method", "stream", name="stderr", text="Warn"), "stderr"),
    (checks.clean_outputs, output("method", "display_data", data=WIDGET_ONLY), "text/html"),
    (
        checks.clean_outputs,
        output("method", "display_data", data={"text/plain": "<A at 0x7f12ab34cd>"}),
        "memory address",
    ),
    (checks.claims, retag("claim", "nbval-check-output"), "lacks the tag 'claim'"),
    (checks.claims, retag("claim", "claim"), "lacks the tag 'nbval-check-output'"),
    (checks.claims, drop("claim"), "no live claim"),
    (
        checks.claims,
        output("claim", "stream", name="stdout", text="undecided: bounded (live; paired)\n"),
        "2 claims are named 'bounded'",
    ),
    (checks.solutions, drop("solution"), "no accepted solution"),
    (checks.solutions, retag("solution", "solution", "nbval-check-output"), "not folded"),
    (checks.solutions, drop("exercise"), "no exercise"),
    (checks.thumbnail, retag("thumbnail"), "0 cells"),
    (
        checks.size,
        output("method", "stream", name="stdout", text="x" * 400_000),
        "kB, at most 400",
    ),
]


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
def test_values_a_good_chapter_passes(check, chapter):
    assert check(chapter, NAME) == []


@pytest.mark.parametrize(
    ("check", "sabotage", "found"),
    CASES,
    ids=[f"{check.__name__}-{found}" for check, _, found in CASES],
)
def test_values_a_broken_chapter_is_found(check, sabotage, found, chapter):
    sabotage(chapter)
    assert found in " | ".join(check(chapter, NAME))


def test_values_every_check_has_a_broken_chapter():
    assert {check for check, _, _ in CASES} == set(checks.CHECKS)


def test_values_start_chapters_need_no_method_sections(chapter):
    chapter.metadata["limsup"]["part"] = "start"
    chapter.cells = [c for c in chapter.cells if "limits" not in c.metadata["tags"]]
    assert checks.section_order(chapter, NAME) == []
