"""Imports every layer that Keras may meet in a saved model, which registers them."""

import importlib

from nlp_suite.registry import ATTENTIONS

for _module in (
    "lstm",
    "gru",
    "simple_rnn",
    "positions",
    "self_attention",
    "transformer_block",
    "cross_attention",
    "transformer_decoder_block",
    "sequence_pooling",
    "full_softmax",
    "adaptive_softmax",
    "word_dropout",
    "type_dropout",
):
    importlib.import_module(f"nlp_suite.layers.{_module}")

for _name in ATTENTIONS.names():
    ATTENTIONS.get(_name)
