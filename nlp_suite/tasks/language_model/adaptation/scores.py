"""Scores of texts by a run that adapts to them."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.errors import DataError
from nlp_suite.progress import say
from nlp_suite.tasks.language_model.adaptation.adapted import Adapted, Texts
from nlp_suite.tasks.language_model.adaptation.report_rows import described
from nlp_suite.tasks.shared.scores import score_answer

LOGGER = logging.getLogger(__name__)


def add_adapted(run: Any, settings: Mapping[str, Any], rows: Sequence[NDArray], answers: Sequence[dict]) -> None:
    """Adds `adapted` to answers of `score`: name → `{"log_prob", "perplexity", "token_log_probs"}`.

    Texts are read in their order, and what was learned from one counts in the next.

    Args:
        run: a run of a language model.
        settings: of `LanguageModelAdaptation`; what they lack is chosen on the run's validation split, and said.
        rows: token ids of the texts.
        answers: of the same texts.

    Raises:
        RunError: something is to be chosen, or gradients are to be measured, and the run's data are gone.

    Example:
        >>> run, settings = Run("runs/book"), LanguageModelAdaptation({"cache": {"theta": 0.3, "share": 0.1}}).settings
        >>> predictor = nlp_suite.load("runs/book")
        >>> answers = predictor.score(texts)
        >>> add_adapted(run, settings, predictor.encode(texts), answers)
    """
    try:
        stores: Mapping[str, Any] = run.stores()
    except DataError:  # they are needed where something is to be chosen, which is refused there
        stores = {}
    adapted = Adapted.of_run(run, settings, stores)
    for name, complete in adapted.settings.items():
        if adapted.chosen[name]:
            say(described(name, complete.model_dump(), adapted.chosen[name]), LOGGER)
    edges = np.cumsum([0, *(len(row) for row in rows)])
    answered = adapted.nll(Texts(np.concatenate(rows), edges), "scoring")
    for answer, begin, end in zip(answers, edges, edges[1:]):
        answer["adapted"] = {
            name: {
                key: value
                for key, value in score_answer(-nll[begin:end], (), False).items()
                if key in ("log_prob", "perplexity", "token_log_probs")
            }
            for name, nll in answered.items()
        }
