"""Imports every model that Keras may meet in a saved file, which registers them."""

from nlp_suite.registry import TASKS

for _name in TASKS.names():
    TASKS.get(_name).import_network()
