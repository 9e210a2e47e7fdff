"""What a forecaster is asked: histories as lists or mappings, checked against what the model reads."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.data.series_history import NONE, History
from nlp_suite.data.time_steps import read_stamp
from nlp_suite.errors import DataError, RequestError
from nlp_suite.registry import unknown
from nlp_suite.tasks.forecasting.inputs import NetworkInputs

Numbers = NDArray[np.float64]
Asked = Sequence[float | None] | NDArray[Any] | Mapping[str, Any] | History
KEYS = ("values", "past", "future", "static", "last")
SHOWN = 3  # steps that a message names


def checked_history(asked: Asked, number: int, inputs: NetworkInputs, horizon: int) -> History:
    """A history as the model reads it.

    Args:
        asked: values, or a mapping, see `Forecaster.forecast`, or a `History`.
        number: of it, for messages.
        inputs: what the model reads.
        horizon: steps ahead that are asked for.

    Raises:
        RequestError: it has no value, or one that is no finite number; something is missing, or is none of the model's.
    """
    if isinstance(asked, History):
        history, called = asked, f"series {asked.name!r}" if asked.name else f"history {number}"
    else:
        called = f"history {number}"
        history = _from_mapping(asked if isinstance(asked, Mapping) else {"values": asked}, called, inputs)
    for (name, known), word in zip(inputs.categories.items(), history.words):
        if known and word and word not in known:
            raise RequestError(
                f"{called}: {unknown(f'word of the category {name!r},', word, known)}; leave it empty for none of them"
            )
    if not np.isfinite(history.values).any():
        raise RequestError(f"{called} has no value: a forecast needs one or more")
    if inputs.calendar and history.end is None:
        raise RequestError(
            f"{called}: the model reads the calendar ({', '.join(inputs.calendar)}): give `last`, the date of its last value"
        )
    _check_future(history, called, inputs, horizon)
    return history


def _from_mapping(asked: Mapping[str, Any], called: str, inputs: NetworkInputs) -> History:
    if wrong := [key for key in asked if key not in KEYS]:
        raise RequestError(f"{called}: {unknown('key', wrong[0], KEYS)}")
    values = _numbers(asked.get("values", ()), called)
    past, future = (_columns(asked, kind, called, inputs) for kind in ("past", "future"))
    given = dict(asked.get("static", {}))
    words = _words(given, called, inputs)
    static = _columns({"static": {k: [v] for k, v in given.items()}}, "static", called, inputs)
    if inputs.covariates.get("past") and len(past) != len(values):
        raise RequestError(f"{called}: past covariates have {len(past)} values and the series has {len(values)}")
    end = None
    if inputs.calendar and "last" in asked:
        step = inputs.frequency
        try:
            stamp = read_stamp(str(asked["last"]))
        except DataError as error:
            raise RequestError(f"{called}, last: {error}") from None
        if stamp.unit != step.unit:
            raise RequestError(
                f"{called}, last: {asked['last']!r} is no date of a step, which is a {step}; write it as {step.written(0)}"
            )
        end = stamp.value + step.count
    return History(values, past, future, static[0] if len(static) else NONE.ravel(), end, words=words)


def _words(given: dict[str, Any], called: str, inputs: NetworkInputs) -> list[str]:
    """Takes the categories of the model out of the static covariates that are given; empty where None is."""
    if lacking := [name for name in inputs.categories if name not in given]:
        raise RequestError(f"{called}: static categories are missing: {', '.join(lacking)} (null where not known)")
    return ["" if (word := given.pop(name)) is None else str(word) for name in inputs.categories]


def _columns(asked: Mapping[str, Any], kind: str, called: str, inputs: NetworkInputs) -> Numbers:
    """Covariates of a kind, `[T, K]` in the order of the model."""
    names, given = list(inputs.covariates.get(kind, ())), asked.get(kind, {})
    if wrong := [name for name in given if name not in names]:
        raise RequestError(f"{called}: {unknown(f'{kind} covariate', wrong[0], names)}")
    if lacking := [name for name in names if name not in given]:
        raise RequestError(f"{called}: {kind} covariates are missing: {', '.join(lacking)}")
    columns = [_numbers(given[name], f"{called}, {kind} covariate {name!r}") for name in names]
    if len({len(column) for column in columns}) > 1:
        raise RequestError(
            f"{called}: {kind} covariates have different lengths: {', '.join(str(len(c)) for c in columns)}"
        )
    return np.stack(columns, axis=1) if columns else NONE


def _numbers(cells: Any, called: str) -> Numbers:
    """A list of numbers as an array, NaN where missing."""
    try:
        values = np.array([np.nan if value is None else value for value in cells], np.float64)
    except (TypeError, ValueError):
        raise RequestError(f"{called} must be a list of numbers and null") from None
    if values.ndim != 1 or np.isinf(values).any():
        raise RequestError(f"{called} must be a list of finite numbers and null")
    return values


def _check_future(history: History, called: str, inputs: NetworkInputs, horizon: int) -> None:
    """Refuses a forecast whose future covariates are not known."""
    names, begin = list(inputs.covariates.get("future", ())), len(history.values)
    if not names:
        return
    ahead = np.full((horizon, len(names)), np.nan)
    part = history.future[begin : begin + horizon]
    ahead[: len(part)] = part
    for place, name in enumerate(names):
        if len(steps := np.flatnonzero(np.isnan(ahead[:, place]))):
            shown = ", ".join(_step(history, int(step), inputs) for step in steps[:SHOWN]) + (
                ", …" if len(steps) > SHOWN else ""
            )
            raise RequestError(
                f"{called}: the future covariate {name!r} is not known for {len(steps):,} of the {horizon:,} steps that are "
                f"forecast ({shown}); give it, or a smaller horizon"
            )


def _step(history: History, step: int, inputs: NetworkInputs) -> str:
    """A step ahead by its date where that is known."""
    if history.end is None:
        return f"step {step + 1}"
    return inputs.frequency.written(history.end + step * inputs.frequency.count)
