"""Keras layers that Keras and KerasHub lack; the model maths is `keras.ops` only."""

import keras  # noqa: F401  before any class of ours, so that registering with Keras never meets a half-imported module
