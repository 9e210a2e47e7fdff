"""Opening a model for a verb of one task."""

from pathlib import Path

from nlp_suite.errors import ExportError
from nlp_suite.export.load import load, task_at
from nlp_suite.predictor import Predictor
from nlp_suite.registry import TASKS


def open_model(path: Path, task: str) -> Predictor:
    """What `load` opens, if it is a model of the task.

    Raises:
        ExportError: it is another task's; the message says how to ask that.
    """
    known = task_at(path)
    model = load(path) if known in (None, task) else None
    name = model.task_name if model else known
    if model is None or name != task:
        wanted, other = TASKS.get(task).model_kind, TASKS.get(str(name))
        raise ExportError(f"{str(path)!r} is no {wanted} but a {other.model_kind}: {other.how_to_ask}")
    return model
