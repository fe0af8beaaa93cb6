"""The dial: every control moves, the picture says what was bought."""

import pytest

from limsup_widgets.data.blobs import blobs
from limsup_widgets.errors import LimsupError
from limsup_widgets.view.dial import curves_at, describe_dial, dial_figure, supervision_dial

TOY = blobs(20, seed=0, size=24)
ROWS = [
    {
        "method": method,
        "kind": kind,
        "minutes": minutes,
        "unlabelled": unlabelled,
        "noise": noise,
        "dice": 0.5 + 0.01 * minutes + 0.1 * (method == "prior") - noise,
    }
    for method in ("plain", "prior")
    for kind in ("point", "scribble")
    for minutes in (1, 4)
    for unlabelled in (0, 8)
    for noise in (0.0, 0.2)
    if method == "prior" or unlabelled == 0
]
CEILING = {"method": "full supervision", "kind": "dense", "unlabelled": 0, "noise": 0.0}
STUDY = [*ROWS, CEILING | {"minutes": 4, "dice": 0.9}]
POSITION = {"kind": "scribble", "minutes": 4, "unlabelled": 8, "noise": 0.2}


def texts(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_values_curves_of_the_position():
    plain, prior = curves_at(STUDY, ["plain", "prior"], "scribble", 8, 0.2)
    assert prior.mean.tolist() == pytest.approx([0.41, 0.44])
    # The plain method knows no pool: its rows without one are shown.
    assert plain.mean.tolist() == pytest.approx([0.31, 0.34])
    assert curves_at(STUDY, ["unheard of"], "scribble", 8, 0.2) == []


def test_values_figure_and_alt_text():
    figure = dial_figure(TOY.images, TOY.masks, STUDY, ["plain", "prior"], **POSITION)
    assert set(texts(figure)) == {"plain", "prior", "full supervision, same minutes"}
    assert "12 images of 20" in figure.axes[0].get_title()
    alt = describe_dial(TOY.masks, STUDY, ["plain", "prior"], **POSITION)
    assert "4 minutes buy 12 images" in alt and "prior 0.44" in alt


def test_values_minutes_that_buy_nothing():
    position = POSITION | {"kind": "dense", "minutes": 1}
    figure = dial_figure(TOY.images, TOY.masks, STUDY, ["plain"], **position)
    assert "buy no image" in figure.axes[0].texts[0].get_text()
    assert "no image" in describe_dial(TOY.masks, STUDY, ["plain"], **position)


def test_values_every_control_changes_the_picture():
    dial = supervision_dial(TOY.images, TOY.masks, STUDY, ["plain", "prior"], kind="scribble")
    assert dial.drive() == ["kind", "minutes", "unlabelled", "noise"]
    assert dial.state["kind"] == "scribble" and len(dial.sheet) == 4


def test_values_one_position_alone_leaves_no_control_for_it():
    rows = [row for row in ROWS if row["kind"] == "point" and row["noise"] == 0.0]
    dial = supervision_dial(TOY.images, TOY.masks, rows, ["prior"])
    assert list(dial.controls) == ["minutes", "unlabelled"]
    assert "<img" in dial.contact_sheet()


def test_errors():
    with pytest.raises(LimsupError, match="plain, prior"):
        supervision_dial(TOY.images, TOY.masks, ROWS, ["magic"])
