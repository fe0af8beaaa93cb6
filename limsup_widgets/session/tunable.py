"""Tuning as a view or a cell asks for it: begun, followed, cancelled, waited for."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from limsup_widgets.data.label_files import check_scribbles
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.crops import CropStore
from limsup_widgets.learn.device import best_device
from limsup_widgets.learn.holdout import Split, split_strokes
from limsup_widgets.learn.tiles import Box
from limsup_widgets.learn.tune import TuneSettings, TuneStep
from limsup_widgets.session.folder import SessionFolder
from limsup_widgets.session.networks import Network, begin, shell
from limsup_widgets.session.progress import text_bar
from limsup_widgets.session.pump import Pump
from limsup_widgets.session.screen import is_one_piece
from limsup_widgets.session.scribbled import scribbled_pieces
from limsup_widgets.session.state import State
from limsup_widgets.session.tuning import Tuned, TuneRequest, codes_in, tune_network
from limsup_widgets.session.worker import Outcome, Tuner, explain


class Tunable(State):
    """The part of :class:`~limsup_widgets.session.session.Session` that tunes.

    One path for both ways of asking: :meth:`tune` starts the same thread as :meth:`start_tune`, and
    lets events run until it is done. All state is changed in the thread that made the session.

    Attributes
    ----------
    live
        Whether each stroke is answered at once while the network tunes behind it, see
        :class:`~limsup_widgets.session.watchable.Watchable`. With ``settings.hold_out`` some
        strokes then decide which of the two answers is shown, and teach neither.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.pump = Pump()
        self.live = False
        self._inputs: dict[tuple[int, Box], Tensor] = {}
        self._crops = CropStore()
        self._tuner = Tuner(self.threads)
        self._failure: BaseException | None = None
        here = threading.current_thread()
        self._tuner.progress.connect(self._stepped, thread=here)
        self._tuner.message.connect(self._say, thread=here)
        self._tuner.finished.connect(self._finished, thread=here)

    def tune(self, progress: bool = True, afresh: bool = False) -> None:
        """Tune on all scribbles and wait for it; other events run meanwhile.

        An interrupt (Ctrl-C, the kernel's stop button) leaves the previous network.

        Parameters
        ----------
        progress
            Whether to print a bar.
        afresh
            Begin with the network that the session began with, not where the last tune ended. After
            many short tunes that is better: early strokes are learnt by heart
            (``results/live.json``).

        Raises
        ------
        LimsupError
            Fewer than two classes scribbled, a tune running already, or the tune failed; then the
            previous network is in use.
        """
        if not self._at_rest():
            raise LimsupError("tune", got="one is running", do="wait() or cancel()")
        request = self._request(afresh)
        self._begin_tune(request)
        with text_bar(self.events.progress, request.settings.steps, progress):
            try:
                self.pump.until(self._at_rest)
            except KeyboardInterrupt:
                self._stop()
                raise
        if isinstance(self._failure, LimsupError):
            raise self._failure
        if self._failure is not None:
            raise LimsupError(f"tune failed: {explain(self._failure)}") from self._failure

    def start_tune(self, afresh: bool = False) -> bool:
        """Begin to tune in the background and return; what cannot work becomes a message."""
        if not self._at_rest():
            self._say("a tune is running: wait for it, or cancel it")
            return False
        try:
            request = self._request(afresh)
        except LimsupError as error:
            self._say(str(error))
            return False
        self._begin_tune(request)
        return True

    def cancel(self) -> None:
        """Stop the tune at its next step; the previous network stays in use."""
        self._tuner.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Let events run until no tune is running; False if ``timeout`` seconds pass first."""
        return self.pump.until(self._at_rest, timeout)

    def pause(self, seconds: float) -> None:
        """Let events run for a while."""
        self.pump.until(lambda: False, seconds)

    def add_pump(self, guest: Callable[[], object]) -> None:
        """Call ``guest`` too whenever the session lets events run."""
        self.pump.add(guest)

    def adopt(self, module: nn.Module) -> None:
        """Use a copy of a network that was tuned elsewhere, as if it had been tuned here.

        Raises :class:`LimsupError` if it is for other channels or classes.
        """
        self._check_open()
        network, _ = begin(module, self.case, self.normalizer)
        if not network.ready:
            raise LimsupError("network", got="other channels or classes", do="adapt it first")
        self._networks.swap_in(network)
        self._keep(network)
        self._record.add("tune_end", status="done", model=network.sha256, adopted=True)
        self._tell_model()

    def load_network(self, folder: Path | str, sha256: str) -> nn.Module:
        """A network from the folder of a session with the same images and the same start."""
        place = SessionFolder(folder)
        return place.network(sha256, shell(self._networks.start, self.case))

    def _request(self, afresh: bool = False) -> TuneRequest:
        """What to tune on, as it is now; raises :class:`LimsupError` below two classes."""
        self._check_open()
        scribbles = self._scribbles()
        painted = codes_in(scribbles.values())
        check_scribbles(np.array([*painted], np.uint8), len(self.classes))
        split = self._split()
        labels, tests = dict(scribbles), {}
        if split is not None:
            for image, box in scribbles:
                rows, columns = slice(box[0], box[2]), slice(box[1], box[3])
                labels[image, box] = split.teach[image][rows, columns]
                if split.enough:
                    tests[image, box] = split.test[image][rows, columns]
        network = self._networks.start if afresh else self._networks.current
        return TuneRequest(
            network=replace(network, module=copy.deepcopy(network.module)),
            keys=tuple(scribbles),
            inputs=self._keep_inputs(scribbles),
            labels=tuple(labels.values()),
            classes=len(self.classes),
            settings=self._settings_for(network, painted),
            passes=self._predictions.passes,
            seed=self._predictions.seed,
            show=self._shown_after(),
            keep=self._keep,
            tests=tuple(tests.values()),
            strokes=split.strokes if split else 0,
            drawn=len(self._history.done),
            # On an accelerator memory is given back after each tune.
            store=self._crops if best_device().type == "cpu" else None,
        )

    def _settings_for(self, network: Network, painted: frozenset[int]) -> TuneSettings:
        """A few steps a new stroke, in a live session whose network knows all these classes."""
        steps = (len(self._history.done) - network.strokes) * self.settings.warm_steps
        warm = self.live and painted <= network.learnt
        # Where strokes were taken back, or a person asks again without any, few will not do.
        if not warm or not 0 < steps < self.settings.steps:
            return self.settings
        return replace(self.settings, steps=steps, decay=True)

    def _scribbles(self) -> dict[tuple[int, Box], NDArray[np.uint8]]:
        """Codes of all scribbled pieces, by image and box."""
        return {
            (i, box): codes
            for i in range(len(self.images))
            for box, codes in scribbled_pieces(self._history, i).items()
        }

    def _split(self) -> Split | None:
        """Strokes that teach and strokes that test; None unless both answers compete.

        A stroke that will test does not teach before there are enough of them either.
        """
        if not (self.live and self.settings.hold_out):
            return None
        if any(image.is_lazy for image in self.images):
            return None  # The parts would be as large as the image.
        return split_strokes(self._history.done, self.case.shapes)

    def _keep_inputs(self, keys: Iterable[tuple[int, Box]]) -> tuple[Tensor, ...]:
        """Normalised inputs of scribbled pieces; those of before are the same tensors as before.

        So they stay where the last tune put them. What is scribbled no longer is let go.
        """
        known = self._inputs
        self._inputs = {
            (i, box): known[i, box] if (i, box) in known else self._predictions.reader(i)(box)
            for i, box in keys
        }
        return tuple(self._inputs.values())

    def _shown_after(self) -> tuple[int, Tensor] | None:
        height, width = self.images[self.current].shape
        whole = (0, 0, height, width)
        if not is_one_piece((height, width)):
            return None
        return self.current, self._predictions.reader(self.current)(whole)

    def _begin_tune(self, request: TuneRequest) -> None:
        self._failure = None
        self._record.add(
            "tune_start",
            model=request.network.sha256,
            settings=asdict(self.settings),
            steps=request.settings.steps,
        )
        self._tuning = self._tuner.start(partial(tune_network, request))
        self.events.tell("tuning", "started")

    def _stepped(self, step: TuneStep) -> None:
        self.events.tell("progress", step)

    def _finished(self, outcome: Outcome) -> None:
        """Take over what the thread made, whole, or leave everything as it was."""
        self._tuning, self._failure = False, outcome.error
        facts: dict[str, Any] = {"status": outcome.status}
        if isinstance(outcome.result, Tuned):
            tuned = outcome.result
            self._networks.swap_in(tuned.network)
            self._taken_over(tuned)
            facts["model"] = tuned.network.sha256
            facts |= {"loss": round(tuned.loss, 6), "seconds": round(tuned.seconds, 3)}
            if tuned.scores is not None:
                facts["held_out"] = asdict(tuned.scores)
        if outcome.status == "failed":
            facts["reason"] = explain(outcome.error)
            self._say(f"tune failed: {facts['reason']} The previous network stays in use.")
        self._record.add("tune_end", **facts)
        if outcome.status == "done":
            self._tell_model()
        self.events.tell("tuning", outcome.status)

    def _taken_over(self, tuned: Tuned) -> None:
        """Keep what the thread has predicted with the new network."""
        if tuned.shown is not None:
            self._predictions.keep_prob(tuned.network.sha256, *tuned.shown)

    def _stop(self) -> None:
        """Cancel a tune and see it ended."""
        if self._tuning:
            self._tuner.cancel()
            self._tuner.join()
            self._at_rest()

    def _at_rest(self) -> bool:
        """Whether no tune is running; also if its last signal was lost to an interrupt."""
        if self._tuning and self._tuner.ended:
            self.pump.once()
            if self._tuning:
                self._finished(Outcome("cancelled"))
        return not self._tuning

    def _keep(self, network: Network) -> None:
        """Write a network into the folder, if there is one; called from both threads."""
        if self._folder is None:
            return
        try:
            self._folder.keep_network(network.module, network.sha256, self._card(network))
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            self._tuner.tell(
                self._tuner.message,
                f"network not saved: {reason}. It stays in use; closing the session tries again",
            )

    def _tell_model(self) -> None:
        """Every prediction is another one now."""
        self.events.tell("model", self.model_sha256)
        self.events.tell("prediction", self.current)
