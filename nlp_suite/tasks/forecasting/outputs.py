"""What a network says of every step ahead: a number, quantiles, or a distribution; its loss, and the answers from it."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

from keras import ops

from nlp_suite.layers.inline import constant
from nlp_suite.tasks.forecasting.settings import ForecastingSettings


class StepOutput:
    """The output of one step ahead, in scaled units.

    Args:
        settings: of the task.

    Attributes:
        size: numbers P that the network gives for a step.
        location_size: how many of them, from the first, are places on the axis of values, and not widths.
        levels: of the quantiles that are answered; empty: none are.
    """

    size = 1
    location_size = 1

    def __init__(self, settings: ForecastingSettings):
        self.settings = settings
        self.levels: Sequence[float] = settings.quantiles

    def losses(self, truth, given, spread) -> Any:
        """The loss of every step, `[B, H]`.

        Args:
            truth: in scaled units, `[B, H]`.
            given: what the network gave, `[B, H, P]`.
            spread: size of a scaled unit, `[B, H]`; 0 without a scale.
        """
        raise NotImplementedError

    def forecast(self, given) -> Any:
        """The forecast in scaled units, `[B, H]`: the median, what minimises `point_loss`, or of counts the mean."""
        raise NotImplementedError

    def quantiles(self, given, spread) -> Any:
        """The quantiles in scaled units, `[B, H, Q]`, ascending; arguments as of `losses`."""
        raise NotImplementedError


class PointOutput(StepOutput):
    """One number."""

    def __init__(self, settings: ForecastingSettings):
        super().__init__(settings)
        self.levels = ()

    def losses(self, truth, given, spread) -> Any:
        error = ops.abs(truth - given[:, :, 0])
        if self.settings.point_loss == "mae":
            return error
        squared = ops.square(error)
        return squared if self.settings.point_loss == "mse" else ops.where(error < 1, squared / 2, error - 0.5)

    def forecast(self, given) -> Any:
        return given[:, :, 0]

    def quantiles(self, given, spread) -> Any:
        return given[:, :, :0]


class QuantilesOutput(StepOutput):
    """A number for every level; twice the pinball loss, averaged, so that the median alone has the absolute error."""

    def __init__(self, settings: ForecastingSettings):
        super().__init__(settings)
        self.size = self.location_size = len(settings.quantiles)

    def losses(self, truth, given, spread) -> Any:
        levels = ops.convert_to_tensor(self.levels, given.dtype)  # [Q]
        error = truth[:, :, None] - given  # [B, H, Q]
        return 2 * ops.mean(ops.maximum(levels * error, (levels - 1) * error), axis=-1)

    def quantiles(self, given, spread) -> Any:
        return ops.sort(given, axis=-1)  # levels are learned one by one, and may cross

    def forecast(self, given) -> Any:
        return ops.sort(given, axis=-1)[:, :, list(self.levels).index(0.5)]


class GaussianOutput(StepOutput):
    """A normal distribution: mean and deviation."""

    size = 2

    def parameters(self, given) -> tuple[Any, Any]:
        """Location and scale, each `[B, H]`."""
        return given[:, :, 0], ops.softplus(given[:, :, 1]) + 1e-3

    def losses(self, truth, given, spread) -> Any:
        location, scale = self.parameters(given)
        return ops.log(scale) + 0.5 * ops.square((truth - location) / scale) + 0.5 * math.log(2 * math.pi)

    def forecast(self, given) -> Any:
        return self.parameters(given)[0]

    def standard_quantiles(self) -> list[float]:
        """Quantiles of the distribution of location 0 and scale 1."""
        return [NormalDist().inv_cdf(level) for level in self.levels]

    def quantiles(self, given, spread) -> Any:
        location, scale = self.parameters(given)
        points = constant(ops.convert_to_tensor(self.standard_quantiles(), given.dtype), given)  # [Q]
        return location[:, :, None] + scale[:, :, None] * points


class StudentTOutput(GaussianOutput):
    """Student's t distribution: location and scale; its degrees of freedom are a setting."""

    def losses(self, truth, given, spread) -> Any:
        location, scale = self.parameters(given)
        n = self.settings.degrees_of_freedom
        part = math.lgamma(n / 2) - math.lgamma((n + 1) / 2) + 0.5 * math.log(n * math.pi)
        return ops.log(scale) + (n + 1) / 2 * ops.log1p(ops.square((truth - location) / scale) / n) + part

    def standard_quantiles(self) -> list[float]:
        return [student_t_quantile(level, self.settings.degrees_of_freedom) for level in self.levels]


OUTPUTS: dict[str, type[StepOutput]] = {
    "point": PointOutput,
    "quantiles": QuantilesOutput,
    "gaussian": GaussianOutput,
    "student_t": StudentTOutput,
}


def step_output(settings: ForecastingSettings) -> StepOutput:
    """The output that the settings name."""
    if settings.output == "negative_binomial":
        from nlp_suite.tasks.forecasting.counts import NegativeBinomialOutput

        return NegativeBinomialOutput(settings)
    return OUTPUTS[settings.output](settings)


def student_t_quantile(level: float, degrees: float) -> float:
    """The quantile of Student's t distribution, by bisection of its distribution function (Simpson's rule)."""
    if level < 0.5:
        return -student_t_quantile(1 - level, degrees)
    constant = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(degrees * math.pi)

    def density(angle: float) -> float:  # of t = √n · tan(angle), so that the range is finite
        return constant * math.sqrt(degrees) * math.cos(angle) ** (degrees - 1)

    def share(angle: float, parts: int = 2000) -> float:
        width = angle / parts
        inner = sum((4 if i % 2 else 2) * density(i * width) for i in range(1, parts))
        return 0.5 + width / 3 * (density(0) + inner + density(angle))

    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) < level else (low, middle)
    return math.sqrt(degrees) * math.tan((low + high) / 2)
