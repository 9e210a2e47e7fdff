"""Imports every backbone and decoder that Keras may meet in a saved model, which registers them."""

from nlp_suite.registry import BACKBONES, DECODERS

for _registry in (BACKBONES, DECODERS):
    for _name in _registry.names():
        _registry.get(_name)
