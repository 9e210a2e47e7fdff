"""Language models in Python, made once a session; no test changes them."""

import numpy as np
import pytest

from nlp_suite.tasks.language_model.predictor import LanguageModelPredictor
from nlp_suite.text.text_layer import END
from tests.tasks.language_model.predictors import make_predictor


@pytest.fixture(scope="session")
def lstm():
    return make_predictor("lstm")


@pytest.fixture(scope="session")
def lines(lstm):
    """The same network, which stops at the end of a line."""
    return LanguageModelPredictor(lstm.model, lstm.text, lstm.settings, True)


@pytest.fixture(scope="session")
def transformer():
    return make_predictor("transformer-sinusoidal")


@pytest.fixture(scope="session")
def bytes_model():
    """Writes ä, ö, 日, a and line breaks, byte by byte, and so some broken characters."""
    predictor = make_predictor(
        "gru", text={"tokenizer": "byte", "collapse_spaces": False}, tie_embeddings=False, scale=0.3
    )
    (bias,) = [v for v in predictor.model.softmax.trainable_variables if len(v.shape) == 1]
    value = np.full(bias.shape, -30, "float32")
    value[[END, *(4 + byte for byte in "äö日a ".encode())]] = 0
    bias.assign(value)
    return predictor
