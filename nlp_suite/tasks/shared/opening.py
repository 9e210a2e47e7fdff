"""Opening a model for a verb of one task."""

from pathlib import Path

from nlp_suite.errors import ExportError
from nlp_suite.export.load import load
from nlp_suite.registry import TASKS
from nlp_suite.task import Predictor


def open_model(path: Path, task: str) -> Predictor:
    """What `load` opens, if it is a model of the task.

    Raises:
        ExportError: it is another task's; the message says how to ask that.
    """
    model = load(path)
    if model.task_name != task:
        wanted, other = TASKS.get(task).model_kind, TASKS.get(model.task_name)
        raise ExportError(f"{str(path)!r} is no {wanted} but a {other.model_kind}: {other.how_to_ask}")
    return model
