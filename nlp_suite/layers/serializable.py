"""Imports every layer that Keras may meet in a saved model, which registers them."""

from nlp_suite.layers import (  # noqa: F401
    adaptive_softmax,
    cross_attention,
    full_softmax,
    gru,
    lstm,
    positions,
    self_attention,
    sequence_pooling,
    simple_rnn,
    transformer_block,
    transformer_decoder_block,
    type_dropout,
    word_dropout,
)
from nlp_suite.registry import ATTENTIONS

for _name in ATTENTIONS.names():
    ATTENTIONS.get(_name)
