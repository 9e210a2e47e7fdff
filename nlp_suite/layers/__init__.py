"""Keras layers that Keras and KerasHub lack; the model maths is `keras.ops` only."""

import keras  # noqa: F401  before any class of ours, so that registering with Keras never meets a half-imported module

from nlp_suite.layers.gru import GRU
from nlp_suite.layers.lstm import LSTM
from nlp_suite.layers.simple_rnn import SimpleRNN

__all__ = ["GRU", "LSTM", "SimpleRNN"]
