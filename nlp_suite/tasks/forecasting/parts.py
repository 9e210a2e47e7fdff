"""What other programs run of a forecasting model: one computation, in the user's units."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nlp_suite.export.parts import Part, Tensors


def parts(model: Any, shapes: Mapping[str, tuple[int, ...]], width: float = 1.0) -> list[Part]:
    """`values` and `mask` `[B, C]`, with covariates and calendar → `forecast` `[B, N]` and, where there are any, `quantiles` `[B, N, Q]`.

    Args:
        model: a `ForecastModel`.
        shapes: input → its shape of a row, see `NetworkInputs`.
        width: factor of its intervals, see `nlp_suite.tasks.forecasting.intervals`.
    """
    (steps,) = shapes["values"]

    def call(tensors: Tensors) -> Tensors:
        forecast, quantiles = model.forecasts(tensors, width)
        return {"forecast": forecast, **({"quantiles": quantiles} if quantiles.shape[-1] else {})}

    def examples(given: Mapping[str, np.ndarray]) -> Iterable[Tensors]:
        yield dict(given)
        beginning = np.arange(steps) < steps // 2  # of a series that is shorter than the context
        yield {**given, "mask": given["mask"] * (~beginning).astype("float32")}
        yield {name: array[:1] for name, array in given.items()}

    inputs = {name: (shape, "float32") for name, shape in shapes.items()}
    says = f"the forecast after the last {steps} steps; mask is 0 where a value is missing or before the beginning"
    if "categories" in shapes:
        says += "; categories are places in the lists of words of facts.json, from 1 on, and 0 for none of them"
    if calendar := model.settings["task"].get("calendar"):
        says += f"; calendar is the {', '.join(calendar)} of each step, from 0, by how many there are"
    return [Part("", inputs, call, examples, says=says)]
