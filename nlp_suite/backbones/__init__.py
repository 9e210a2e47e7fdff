"""The backbones: token ids, or features of any origin, to features; each one file of the registry."""

import keras  # noqa: F401  see nlp_suite.layers
