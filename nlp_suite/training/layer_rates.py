"""Discriminative learning rates (Howard & Ruder 2018, §3.2): a layer learns more slowly than the one above it."""

from collections.abc import Sequence
from typing import Any

from nlp_suite.training.optimizer_mixin import OptimizerMixin


def rate_factors(groups: Sequence[Sequence[Any]], rate: float) -> dict[int, float]:
    """Factor `rate`^(G − 1 − i) of the learning rate for every variable of group i of G, by the variable's `id`.

    Args:
        groups: lists of variables from bottom to top; a variable that is in several counts in the lowest.
        rate: fraction of the rate of the group above.
    """
    factors: dict[int, float] = {}
    for i, group in enumerate(groups):
        for variable in group:
            factors.setdefault(id(variable), rate ** (len(groups) - 1 - i))
    return factors


class LayerRates(OptimizerMixin):
    """Mixin before a Keras optimiser class: every variable has its own factor of the learning rate, in weight decay too.

    The class that mixes it in has `factors`, see `rate_factors`. (On PyTorch the class must derive from a
    `keras.optimizers` class, as any subclass does: those that update all variables at once bypass `update_step`.)
    """

    factors: dict[int, float]
    _decay_factor = 1.0

    def build(self, variables: Sequence[Any]) -> None:
        if not self.built:
            unknown = [variable.path for variable in variables if id(variable) not in self.factors]
            if unknown:
                raise ValueError(f"no layer group has the variables {', '.join(unknown)}")
            self._factors = tuple(self.factors[id(variable)] for variable in variables)
            super().build(variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        factor = self._factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        by_factor: dict[float, list[Any]] = {}
        for variable in variables:
            if self._use_weight_decay(variable):
                by_factor.setdefault(self._factors[self._get_variable_index(variable)], []).append(variable)
        try:
            for self._decay_factor, decayed in by_factor.items():
                super()._apply_weight_decay(decayed)
        finally:
            self._decay_factor = 1.0

    def _get_current_learning_rate(self) -> Any:
        rate = super()._get_current_learning_rate()
        return rate if self._decay_factor == 1.0 else rate * self._decay_factor
