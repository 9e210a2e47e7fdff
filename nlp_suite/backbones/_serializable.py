"""Imports every backbone that Keras may meet in a saved model, which registers them."""

from nlp_suite.registry import BACKBONES

for _name in BACKBONES.names():
    BACKBONES.get(_name)
