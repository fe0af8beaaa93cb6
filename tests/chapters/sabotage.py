"""A chapter with faults in it: its method as a module, and what its claims then say."""

import contextlib
import io
from importlib.util import module_from_spec, spec_from_loader

from limsup_widgets.teach.chapters import SHARED_TAGS, ChapterLoader, chapter_path
from limsup_widgets.teach.claims import recorded

CHEAP_TAGS = (*SHARED_TAGS, "small")


class Faulty(ChapterLoader):
    """Loads the tagged cells with pieces of their text replaced."""

    def __init__(self, path, tags=SHARED_TAGS, faults=None):
        super().__init__(path, tags)
        self.faults = dict(faults or {})

    def get_data(self, path):
        source = super().get_data(path).decode()
        for old, new in self.faults.items():
            assert old in source, f"the chapter no longer says {old!r}"
            source = source.replace(old, new)
        return source.encode()


def load_faulty(id, tags=SHARED_TAGS, faults=None):
    """The tagged cells of a chapter as a fresh module, with ``faults`` {old: new} in them."""
    loader = Faulty(chapter_path(id), tags, faults)
    module = module_from_spec(spec_from_loader(f"_faulty_{id}", loader))
    loader.exec_module(module)
    return module


def broken(id, old, new):
    """The chapter's method with one piece of text changed."""
    return load_faulty(id, faults={old: new})


def claim_words(id, faults=None):
    """{claim: ``holds``, ``does not hold`` or ``undecided``} of the cheap claims of a chapter.

    Runs the cells tagged ``imports``, ``method`` or ``small`` in the order of the page, in one
    fresh namespace.
    """
    with recorded() as verdicts, contextlib.redirect_stdout(io.StringIO()):
        load_faulty(id, CHEAP_TAGS, faults)
    words = {verdict.name: verdict.words for verdict in verdicts}
    assert len(words) == len(verdicts), "two claims have one name"
    return words
