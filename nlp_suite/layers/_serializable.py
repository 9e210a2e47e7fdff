"""Imports every layer and backbone that Keras may meet in a saved model, which registers them."""

import importlib

from nlp_suite.registry import BACKBONES

for _module in (
    "lstm",
    "gru",
    "simple_rnn",
    "positions",
    "self_attention",
    "transformer_block",
    "sequence_pooling",
):
    importlib.import_module(f"nlp_suite.layers.{_module}")
for _name in BACKBONES.names():
    BACKBONES.get(_name)
