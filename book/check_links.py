"""Check the built book: every link inside it leads somewhere, nothing is loaded from elsewhere.

``python book/check_links.py build/_build/html`` prints one line a finding and exits 1 if any.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}
CSS_TARGET = re.compile(r"(?:@import\s+|url\(\s*)['\"]?((?:https?:)?//[^'\")\s]+)")


@dataclass
class Page(HTMLParser):
    """Ids, link targets, loaded addresses and pictures without alt text of one page."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    mute_pictures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Sort one tag's addresses into what is followed and what is loaded."""
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev", "search"):
            self.loaded.append(given.get("href", ""))
        if tag in LOADED and LOADED[tag] in given:
            self.loaded.append(given[LOADED[tag]])
        if tag == "img" and not _describes(given):
            self.mute_pictures.append(given.get("src", "")[:60])


def findings(site: Path) -> Iterator[str]:
    """One line for each broken link, foreign address or picture without alt text."""
    # The theme leaves templates among its static files.
    html = (p for p in sorted(site.rglob("*.html")) if "_static" not in p.parts)
    pages = {path: _parse(path) for path in html}
    if not pages:
        yield f"{site}: no pages"
    for path, page in pages.items():
        name = path.relative_to(site)
        for address in page.loaded:
            if _is_foreign(address):
                yield f"{name}: loads {address}"
            elif problem := _broken(address, path, site, pages):
                yield f"{name}: {problem}"
        for address in page.links:
            if not _is_foreign(address) and (problem := _broken(address, path, site, pages)):
                yield f"{name}: {problem}"
        yield from (f"{name}: picture without alt text: {src}" for src in page.mute_pictures)
    for path in sorted(site.rglob("*.css")):
        for address in CSS_TARGET.findall(path.read_text("utf-8", errors="replace")):
            yield f"{path.relative_to(site)}: loads {address}"


def _parse(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text("utf-8"))
    return page


def _describes(given: dict[str, str]) -> bool:
    """Whether an image says what it shows, is a decoration, or stands under a text of its own."""
    alt = given.get("alt")
    return alt is not None and not re.search(r"_images/|\.(png|svg|jpe?g)$", alt)


def _is_foreign(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme in ("http", "https") or bool(parts.netloc)


def _broken(address: str, path: Path, site: Path, pages: dict[Path, Page]) -> str | None:
    parts = urlsplit(address)
    if parts.scheme:
        return None
    base = site if parts.path.startswith("/") else path.parent
    target = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return f"broken link {address}"
    fragment = unquote(parts.fragment)
    if fragment and target in pages and fragment not in pages[target].ids:
        return f"no such place {address}"
    return None


def main(site: str) -> int:
    """Print the findings and a closing line; 1 if there are any."""
    found = list(findings(Path(site).resolve()))
    print("\n".join(found))
    print(f"book links: {len(found)} findings")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
