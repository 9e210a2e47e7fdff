"""A network with its text layer, at work in Python: what its task makes of it."""

import importlib
import importlib.util

from nlp_suite.export.samples import check_texts
from nlp_suite.tasks.sentiment.predictor import NetworkPredictor


def resolved(run):
    """The run's experiment, with what its data decided written out, so that it can be used without them."""
    complete = getattr(_opener(run.experiment.task.name), "resolved", None)
    return complete(run) if complete else run.experiment


def open_run(run, model):
    """A run's model: see `open_network`."""
    return open_network(resolved(run), model, run.text, run.labels, run.target_text)


def open_network(experiment, model, text, labels: list[str], target_text=None):
    """What the task's file in `nlp_suite/export/openers` makes of a network; without one a `NetworkPredictor`.

    Args:
        experiment: as `resolved` gives it.
        model: the network.
        text: the `TextLayer` it was trained with.
        labels: label names, empty for what is no classifier.
        target_text: that of the targets, for translation; default: `text`.
    """
    opener = _opener(experiment.task.name)
    if opener is None:
        return NetworkPredictor(model, text, labels)
    return opener.opened(experiment, model, text, labels, target_text)


def check_inputs(run):
    """What a run's network is compared on once it is loaded again: token ids of whole texts, or as its task says."""
    inputs = getattr(_opener(run.experiment.task.name), "check_inputs", None)
    return inputs(run) if inputs else run.text.pad(run.text.encode(check_texts(run)))


def _opener(task: str):
    """The module of a task, or None."""
    name = f"nlp_suite.export.openers.{task}"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None
