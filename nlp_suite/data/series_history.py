"""A series up to a moment, with what stands beside its values: what a forecast is made from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
KINDS = ("past", "future", "static")  # of covariates
NONE: Numbers = np.zeros((0, 0))  # no covariates


@dataclass(frozen=True)
class History:
    """A series that is continued; of its covariates the columns are in the order of their names.

    Attributes:
        values: so far, float64 `[T]`, NaN where missing.
        past: covariates that are known so far, float64 `[T, K]`, NaN where missing.
        future: covariates that are known ahead, too, float64 `[T + steps, K]`.
        static: covariates that do not change, float64 `[K]`.
        end: stamp of the first step that is forecast; None where its date is not known.
        name: of the series; empty where it has none.
        words: categories that do not change, such as a shop and its group; empty where missing.
    """

    values: Numbers
    past: Numbers = field(default_factory=lambda: NONE)
    future: Numbers = field(default_factory=lambda: NONE)
    static: Numbers = field(default_factory=lambda: NONE.ravel())
    end: int | None = None
    name: str = ""
    words: Sequence[str] = ()
