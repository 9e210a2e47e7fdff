"""A language model at work: scores, next tokens, generation."""

from nlp_suite.tasks._language_inference import LanguageInference, stops_at_line_end


def resolved(run):
    """See `nlp_suite.export.open_network.resolved`."""
    task = run.experiment.task.model_copy(update={"stop_at_line_end": stops_at_line_end(run)})
    return run.experiment.model_copy(update={"task": task})


def opened(experiment, model, text, labels, target_text) -> LanguageInference:
    """See `nlp_suite.export.open_network.open_network`."""
    return LanguageInference(model, text, experiment.task, experiment.task.stop_at_line_end)
