from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image

from limsup_widgets.view.html import data_uri, legend_html, picture_html, table_html, thumbnail
from limsup_widgets.view.palette import class_palette

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 255, (20, 30, 3), dtype=np.uint8)


def test_roundtrip() -> None:
    head, body = data_uri(RGB).split(",")
    assert head == "data:image/png;base64"
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))
    assert np.array_equal(decoded, RGB)


def test_fewer_colours_make_a_smaller_file() -> None:
    uri = data_uri(RGB, colours=16)
    decoded = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB")
    assert len(np.unique(np.asarray(decoded).reshape(-1, 3), axis=0)) <= 16
    assert len(uri) < len(data_uri(RGB))


def test_alt_text_is_there_and_escaped() -> None:
    html = picture_html(RGB, alt='a "quoted" <b>')
    assert re.search(r'<img alt="a &quot;quoted&quot; &lt;b&gt;"', html)


def test_thumbnail_adds_no_colour() -> None:
    small = thumbnail(RGB, longest=10)
    assert small.shape == (7, 10, 3)
    known = {tuple(c) for c in RGB.reshape(-1, 3)}
    assert {tuple(c) for c in small.reshape(-1, 3)} <= known


def test_names_are_escaped() -> None:
    assert "&lt;x&gt;" in legend_html(["<x>"], class_palette(1))
    assert "&lt;x&gt;" in table_html(["<x>"], [["<y>", 1]])
