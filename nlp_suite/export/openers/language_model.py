"""A language model at work: scores, next tokens, generation."""

import numpy as np

from nlp_suite.export.samples import check_texts
from nlp_suite.tasks.language_model.predictor import LanguageInference, stops_at_line_end


def resolved(run):
    """See `nlp_suite.export.open_network.resolved`."""
    task = run.experiment.task.model_copy(update={"stop_at_line_end": stops_at_line_end(run)})
    return run.experiment.model_copy(update={"task": task})


def opened(experiment, model, text, labels, target_text) -> LanguageInference:
    """See `nlp_suite.export.open_network.open_network`."""
    return LanguageInference(model, text, experiment.task, experiment.task.stop_at_line_end)


def check_inputs(run):
    """Short pieces of text without padding, int32 `[N, T]`."""
    flat = np.concatenate(run.text.encode(check_texts(run)))[: 8 * 16]
    return flat[: len(flat) // 16 * 16].reshape(-1, 16) if len(flat) >= 16 else flat[None]
