"""Weights & Biases: WANDB_PROJECT says where, WANDB_MODE=offline keeps it in ./wandb (package wandb)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from nlp_suite.errors import UsageError
from nlp_suite.registry import TRACKERS
from nlp_suite.training.trackers.base import Outcome, TrackedRun, Tracker, TrackerSettings


@TRACKERS.register(TrackerSettings)
class WandbTracker(Tracker):
    """A run of Weights & Biases in the project that its environment variables name."""

    package: ClassVar[str] = "wandb"
    install: ClassVar[str] = "nlp-suite[wandb]"

    def __init__(self) -> None:
        import wandb

        self._wandb: Any = wandb
        self._run: Any = None

    def open(self, run: TrackedRun) -> int:
        wandb = self._wandb
        quiet = wandb.Settings(console="off", silent=True)  # it would else take over standard output and error
        mode = wandb.setup(quiet).settings.mode
        if mode == "online" and not wandb.login(prompt=False):  # it would else ask on the terminal, and wait
            raise UsageError("it has no key: call `wandb login`, or set WANDB_API_KEY or WANDB_MODE=offline")
        self._run = wandb.init(id=run.id, resume="allow", name=run.name, settings=quiet)
        self._run.config.update(dict(run.parameters), allow_val_change=True)
        self.place = self._run.url or f"{self._run.settings.sync_dir} (send it: wandb sync FOLDER)"
        self._run.save(str(run.config.absolute()), base_path=str(run.config.absolute().parent), policy="now")
        # offline every process has a folder of its own, and a killed one leaves part of its figures: the last folder has all
        return 0 if self._run.offline else self._run.starting_step - 1

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._run.log(dict(figures), step=step)

    def report(self, figures: Mapping[str, float], files: list[Path]) -> None:
        self._run.summary.update(dict(figures))
        for file in files:
            self._run.save(str(file.absolute()), base_path=str(file.absolute().parent), policy="now")

    def close(self, outcome: Outcome | None) -> None:
        self._run.finish(exit_code=0 if outcome in (None, "finished") else 1)
