"""Greedy decoding, sampling and beam search over any step function; one source for all backends and for the graph."""

import keras  # noqa: F401  see nlp_suite.layers
