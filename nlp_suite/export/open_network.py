"""A network with its text layer, at work in Python: what its task makes of it."""

from nlp_suite.export.predictors import NetworkPredictor


def resolved(run):
    """The run's experiment, with what its data decided written out, so that it can be used without them."""
    if run.experiment.task.name != "language_model":
        return run.experiment
    from nlp_suite.tasks._language_inference import stops_at_line_end

    task = run.experiment.task.model_copy(update={"stop_at_line_end": stops_at_line_end(run)})
    return run.experiment.model_copy(update={"task": task})


def open_run(run, model):
    """A run's model: see `open_network`."""
    return open_network(resolved(run), model, run.text, run.labels)


def open_network(experiment, model, text, labels: list[str]):
    """A `NetworkPredictor` of a classifier, a `LanguageInference` of a language model.

    Args:
        experiment: as `resolved` gives it.
        model: the network.
        text: the `TextLayer` it was trained with.
        labels: label names, empty for a language model.
    """
    if experiment.task.name == "language_model":
        from nlp_suite.tasks._language_inference import LanguageInference

        return LanguageInference(model, text, experiment.task, experiment.task.stop_at_line_end)
    return NetworkPredictor(model, text, labels)
