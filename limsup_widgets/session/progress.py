"""A progress bar of plain text, for scripts and for cells whose output is stored."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from psygnal import SignalInstance
from tqdm import tqdm

from limsup_widgets.learn.tune import TuneStep


@contextmanager
def text_bar(steps: SignalInstance, total: int, shown: bool = True) -> Iterator[None]:
    """Show what ``steps`` emits (:class:`TuneStep`) on stderr while the block runs."""
    with tqdm(total=total, desc="tuning", ascii=True, disable=not shown, file=sys.stderr) as bar:

        def advance(step: TuneStep) -> None:
            bar.update(step.step - bar.n)
            bar.set_postfix(loss=f"{step.loss:.3f}", refresh=False)

        steps.connect(advance)
        try:
            yield
        finally:
            steps.disconnect(advance)
