"""The backbones: token ids to features, each one file of the registry."""

import keras  # noqa: F401  see nlp_suite.layers
