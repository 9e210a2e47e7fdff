"""Language models in Python for the tests, and what their networks say step by step."""

import numpy as np
from keras import ops

from nlp_suite.config import load_experiment
from nlp_suite.tasks.language_model.predictor import LanguageModelPredictor
from nlp_suite.text.text_layer import END, NEVER_GENERATED, TextLayer
from tests.language_models import TEXT, network

GREEDY = {"temperature": 0.0}


def make_predictor(backbone, text=None, stop_at_end=False, scale=0.6, **task):
    values = experiment_values(text)
    layer = TextLayer.train(values, TEXT.splitlines())
    task = {"window": 12, "max_generated": 20, **task}
    model = network(backbone, layer.vocabulary_size, scale=scale, **task)
    settings = load_experiment({"task": {"name": "language_model", **task}}).task
    return LanguageModelPredictor(model, layer, settings, stop_at_end)


def experiment_values(text):
    defaults = {"tokenizer": {"name": "word", "min_count": 1}, **(text or {})}
    return load_experiment({"task": "language_model", "text": defaults}).text


def log_probs_after(predictor, tokens):
    """Log-probabilities [T, V] of every token after END and those before it, in one pass."""
    before = np.concatenate([[END], tokens[:-1]]).astype("int32")
    return ops.convert_to_numpy(predictor.model(before[None]))[0]


def stepwise(predictor, prompt, count, stop_at_end=False):
    """Greedy tokens by `model.step` alone."""
    state = predictor.model.initial_state(1)
    for token in [END, *prompt]:
        log_probs, state = predictor.model.step(np.array([token], "int32"), state)
    tokens, total = [], 0.0
    while len(tokens) < count:
        values = ops.convert_to_numpy(log_probs)[0].copy()
        values[list(NEVER_GENERATED)] = -np.inf
        tokens.append(int(values.argmax()))
        total += values.max()
        if stop_at_end and tokens[-1] == END:
            break
        log_probs, state = predictor.model.step(np.array(tokens[-1:], "int32"), state)
    return tokens, total
