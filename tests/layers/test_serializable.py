"""Keras meets every registered layer of this package by `nlp_suite.layers.serializable`."""

import re
from pathlib import Path

import nlp_suite.layers
from nlp_suite.layers import serializable


def test_every_module_that_registers_a_layer_is_imported():
    folder = Path(nlp_suite.layers.__file__).parent
    registers = re.compile(r"^@keras\.saving\.register_keras_serializable\(", re.MULTILINE)
    modules = {path.stem for path in folder.glob("*.py") if registers.search(path.read_text("utf-8"))}
    assert len(modules) > 10
    assert not {name for name in modules if not hasattr(serializable, name)}
