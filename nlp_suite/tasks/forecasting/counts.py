"""Forecasts of counts: a negative binomial distribution of every step ahead."""

import math
from typing import Any

from keras import ops

from nlp_suite.tasks.forecasting.outputs import StepOutput

GRID = 256  # counts at which the distribution function is summed up
REACH = 10.0  # deviations above the mean to which it goes
SHIFT = 6  # by which an argument is moved to where Stirling's series is exact to a float32


class NegativeBinomialOutput(StepOutput):
    """A negative binomial distribution of counts: mean, in units of the mean size of the context, and dispersion.

    With mean μ and dispersion α the variance is μ + α μ² (Salinas et al. 2020, section 3.1). The forecast is the mean.
    """

    size = 2

    def parameters(self, given, spread) -> tuple[Any, Any]:
        """Mean in counts and dispersion, each `[B, H]`."""
        return (ops.softplus(given[:, :, 0]) + 1e-6) * spread, ops.softplus(given[:, :, 1]) + 1e-4

    def losses(self, truth, given, spread) -> Any:
        mean, dispersion = self.parameters(given, ops.where(spread > 0, spread, 1.0))
        return -log_probability(truth * spread, mean, dispersion)

    def forecast(self, given) -> Any:
        return ops.softplus(given[:, :, 0])

    def quantiles(self, given, spread) -> Any:
        usable = ops.where(spread > 0, spread, 1.0)
        counts = quantiles_of_counts(*self.parameters(given, usable), self.levels)
        return counts / usable[:, :, None]


def log_probability(counts, mean, dispersion) -> Any:
    """The logarithm of the probability of counts, of any shape; of numbers between whole ones that of the continued function."""
    r = 1 / dispersion
    ways = log_gamma(counts + r) - log_gamma(r) - log_gamma(counts + 1.0)
    return ways - r * ops.log1p(dispersion * mean) - counts * ops.log1p(r / mean)


def quantiles_of_counts(mean, dispersion, levels) -> Any:
    """The lowest counts whose distribution function reaches the levels, `[B, H, Q]`.

    Exact where the range of counts that matters has at most `GRID` of them; else that range is divided into so many steps, and
    what lies between two of them is interpolated. Reckoned in float64, as a difference in the last digit decides on a count.

    Args:
        mean: `[B, H]`.
        dispersion: `[B, H]`.
        levels: Q of them.
    """
    mean, dispersion = (ops.cast(each, "float64")[:, :, None] for each in (mean, dispersion))
    step = ops.maximum((mean + REACH * ops.sqrt(mean + dispersion * ops.square(mean))) / GRID, 1.0)  # [B, H, 1]
    shares = ops.exp(log_probability(step * ops.arange(GRID, dtype="float64"), mean, dispersion))  # [B, H, GRID]
    below = ops.cumsum(shares, axis=-1)
    below = ops.pad(below / below[:, :, -1:], [[0, 0], [0, 0], [1, 0]])
    places = ops.stack(
        [ops.sum(ops.cast(below[:, :, 1:] < level - 1e-9, "int32"), axis=-1) for level in levels], axis=-1
    )
    low, high = (ops.take_along_axis(below, places + more, axis=-1) for more in (0, 1))
    wanted = ops.convert_to_tensor(levels, "float64")
    between = ops.maximum(ops.cast(places, "float64") - 0.5 + (wanted - low) / (high - low), 0.0)
    return ops.cast(ops.where(step > 1, step * between, ops.cast(places, "float64")), "float32")


def log_gamma(x) -> Any:
    """The logarithm of the gamma function of numbers above 0, by Stirling's series after `SHIFT` steps of its recurrence."""
    moved = x + SHIFT
    series = (
        (moved - 0.5) * ops.log(moved) - moved + 0.5 * math.log(2 * math.pi) + 1 / (12 * moved) - 1 / (360 * moved**3)
    )
    for step in range(SHIFT):
        series = series - ops.log(x + step)
    return series
