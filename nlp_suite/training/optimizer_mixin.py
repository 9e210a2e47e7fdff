"""The base of the mixins that stand before a Keras optimiser class."""

from typing import Any

OptimizerMixin: Any = object
"""To the type checker whatever the mixin is put before; at run time nothing, so that any optimiser class can follow."""
