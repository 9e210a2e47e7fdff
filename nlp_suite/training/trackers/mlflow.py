"""MLflow: MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME say where; default ./mlflow.db (package mlflow)."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from nlp_suite.registry import TRACKERS
from nlp_suite.training.trackers.base import Outcome, TrackedRun, Tracker, TrackerSettings

TAG = "nlp_suite.run"  # holds the run's id, as MLflow gives its runs ids of its own
STATUS: Mapping[Outcome, str] = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


@TRACKERS.register(TrackerSettings)
class MLflowTracker(Tracker):
    """A run of MLflow in the experiment that its environment variables name."""

    package: ClassVar[str] = "mlflow"
    install: ClassVar[str] = "nlp-suite[mlflow]"

    def __init__(self) -> None:
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # standard output has results only
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        import mlflow

        self._mlflow: Any = mlflow
        self._before = "FINISHED"

    def open(self, run: TrackedRun) -> int:
        mlflow = self._mlflow
        found = mlflow.search_runs(filter_string=f"tags.`{TAG}` = '{run.id}'", output_format="list", max_results=1)
        while mlflow.active_run():  # of an attempt of this thread that failed
            mlflow.end_run()
        if found:
            self._before = found[0].info.status
            active = mlflow.start_run(run_id=found[0].info.run_id)
        else:
            active = mlflow.start_run(run_name=run.name, tags={TAG: run.id})
        self.place = f"{mlflow.get_tracking_uri()}, run {active.info.run_id}"
        parameters = {_name(key): value for key, value in run.parameters.items()}
        mlflow.log_params({key: value for key, value in parameters.items() if key not in active.data.params})
        mlflow.log_artifact(str(run.config))
        history = mlflow.MlflowClient().get_metric_history(active.info.run_id, "seconds")
        return max((metric.step for metric in history), default=0)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics({_name(key): value for key, value in figures.items()}, step=step)

    def report(self, figures: Mapping[str, float], files: list[Path]) -> None:
        self._mlflow.log_metrics({_name(key): value for key, value in figures.items()})
        for file in files:
            self._mlflow.log_artifact(str(file))

    def close(self, outcome: Outcome | None) -> None:
        self._mlflow.end_run(STATUS[outcome] if outcome else self._before)


def _name(key: str) -> str:
    """A key in the characters that MLflow allows; labels are part of some."""
    return re.sub(r"[^\w. :-]", "_", key)
