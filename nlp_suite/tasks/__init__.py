"""The tasks: a model with its loss, metrics and serving signatures, each one file of the registry."""

import keras  # noqa: F401  see nlp_suite.layers
