import importlib
import subprocess
import sys

import pytest

from limsup_widgets.resources import PACKAGE

SCRIPT = PACKAGE.parent / "book" / "check_links.py"
GOOD = """<html><head><link rel="stylesheet" href="../_static/a.css"><script src="../_static/a.js">
</script></head><body><h1 id="top">A</h1><a href="#top">up</a> <a href="b.html#there">b</a>
<a href="https://example.org/x">out</a> <a href="mailto:a@example.org">mail</a>
<img src="data:image/png;base64,AAAA" alt="a dot"> <img src="../_static/a.png" alt=""></body>"""
SABOTAGE = [
    ("b.html#there", "b.html#nowhere", "no such place"),
    ("b.html#there", "c.html", "broken link"),
    ("#top", "#bottom", "no such place"),
    ('href="../_static/a.css"', 'href="https://fonts.example.org/a.css"', "loads https://fonts"),
    ('src="../_static/a.js"', 'src="//cdn.example.org/a.js"', "loads //cdn"),
    ('src="../_static/a.js"', 'src="../_static/b.js"', "broken link"),
    ('alt="a dot"', "", "without alt text"),
    ('alt="a dot"', 'alt="../_images/1f.png"', "without alt text"),
]


@pytest.fixture
def site(tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "_static").mkdir()
    for name in ("a.css", "a.js", "a.png"):
        (tmp_path / "_static" / name).touch()
    (tmp_path / "pages" / "a.html").write_text(GOOD)
    (tmp_path / "pages" / "b.html").write_text('<p id="there">B</p>')
    return tmp_path


@pytest.fixture
def findings(site, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    script = importlib.import_module("check_links")
    return lambda: list(script.findings(site))


def test_values_a_good_site(findings):
    assert findings() == []


@pytest.mark.parametrize(("old", "new", "told"), SABOTAGE)
def test_values_a_broken_site(site, findings, old, new, told):
    page = site / "pages" / "a.html"
    assert old in page.read_text()
    page.write_text(page.read_text().replace(old, new))
    (found,) = findings()
    assert told in found


def test_values_css_that_loads_a_font(site, findings):
    (site / "_static" / "a.css").write_text("@font-face { src: url('https://f.example.org/a') }")
    assert findings() == ["_static/a.css: loads https://f.example.org/a"]


def test_errors_of_the_command(site):
    def run():
        command = [sys.executable, str(SCRIPT), str(site)]
        return subprocess.run(command, capture_output=True, text=True)

    assert run().returncode == 0
    (site / "pages" / "b.html").unlink()
    broken = run()
    assert broken.returncode == 1
    assert "book links: 1 findings" in broken.stdout


def test_errors_of_an_empty_site(site, findings):
    for page in site.rglob("*.html"):
        page.unlink()
    assert "no pages" in findings()[0]
