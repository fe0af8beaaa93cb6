import re

import pytest
from matplotlib.figure import Figure

from limsup_widgets.errors import LimsupError
from limsup_widgets.view.chapter_widget import DRIVE, ChapterWidget, Choice, Slider

SHEET = [{"count": n} for n in (2, 4, 6)] + [{"count": 9, "shade": "C1"}]


def draw(count, shade):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot(range(count), color=shade)
    return figure


def describe(count, shade):
    return f'A rising line of {count} "points" in {shade}.'


def make(draw=draw, sheet=SHEET):
    controls = {
        "count": Slider("Number of points", 2, 9, start=3),
        "shade": Choice("Colour", ["C0", "C1"]),
    }
    return ChapterWidget(draw, controls, sheet, describe)


def test_values_moving_a_control_redraws():
    widget = make()
    widget.controls["count"].value = 5
    assert widget.state == {"count": 5, "shade": "C0"}
    assert "line of 5 &quot;points&quot; in C0" in widget.picture.value
    assert widget.picture.value == widget.image_tag({"count": 5, "shade": "C0"})


def test_values_drive_moves_every_control_and_back():
    widget = make()
    assert widget.drive() == ["count", "shade"]
    assert widget.state == {"count": 3, "shade": "C0"}


def test_errors_a_control_without_effect():
    with pytest.raises(LimsupError, match="control 'shade'"):
        make(lambda count, shade: draw(count, "C0")).drive()


def test_errors_a_control_that_is_not_observed():
    widget = make()
    widget.controls["count"].unobserve_all("value")
    with pytest.raises(LimsupError, match="control 'count'"):
        widget.drive()


def test_values_page_shows_the_sheet_and_lab_the_widget():
    bundle = make()._repr_mimebundle_()
    alts = re.findall(r'<img alt="([^"]+)" src="data:image/png', bundle["text/html"])
    assert len(alts) == len(SHEET)
    assert alts[-1] == "A rising line of 9 &quot;points&quot; in C1."
    assert "Number of points = 9, Colour = C1" in bundle["text/html"]
    assert "<script" not in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == "Widget with controls count, shade"


def test_values_every_control_says_what_it_is():
    assert [c.description for c in make().controls.values()] == ["Number of points", "Colour"]


def test_values_showing_drives_it_where_asked(monkeypatch):
    idle = make(lambda count, shade: draw(3, "C0"))
    idle._repr_mimebundle_()
    monkeypatch.setenv(DRIVE, "1")
    with pytest.raises(LimsupError, match="the same picture"):
        idle._repr_mimebundle_()


@pytest.mark.parametrize(
    ("sheet", "told"),
    [(SHEET[:3], "3 states"), (SHEET * 2, "8 states"), ([*SHEET[:3], {"size": 1}], "'size'")],
)
def test_errors_of_the_sheet(sheet, told):
    with pytest.raises(LimsupError, match=told):
        make(sheet=sheet)


@pytest.mark.parametrize(
    ("spec", "start", "other"),
    [
        (Slider("n", 0, 10, start=3), 3, 10),
        (Slider("n", 0, 10, start=10), 10, 0),
        (Slider("x", 0, 1, start=0.5, step=0.1), 0.5, 1),
        (Choice("c", ["a", "b"]), "a", "b"),
        (Choice("c", ["a", "b"], start="b"), "b", "a"),
    ],
)
def test_values_of_controls(spec, start, other):
    control = spec.make()
    assert control.value == start
    assert isinstance(control.value, type(start))
    control.value = spec.other(control.value)
    assert control.value == other
