"""What a network of forecasting reads of histories: arrays of one context, and of the steps ahead where they are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.data.calendar import phases
from nlp_suite.data.series_history import History
from nlp_suite.data.time_steps import Frequency

NUMBERED = Frequency("step", 1)
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class NetworkInputs:
    """Which arrays a network reads.

    Attributes:
        context: steps C before a cut-off.
        horizon: steps H after it.
        covariates: kind (`past`, `future`, `static`) → names.
        calendar: features, see `nlp_suite.data.calendar`.
        frequency: of the steps.
        categories: name → its words; in an export, which looks them up itself, none are known.
    """

    context: int
    horizon: int
    covariates: Mapping[str, Sequence[str]] = field(default_factory=dict)
    calendar: Sequence[str] = ()
    frequency: Frequency = NUMBERED
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Array → its shape of a row."""
        past, future, static = (len(self.covariates.get(kind, ())) for kind in ("past", "future", "static"))
        both = self.context + self.horizon
        shapes = {
            "values": (self.context,),
            "mask": (self.context,),
            "past": (self.context, past),
            "future": (both, future),
            "static": (static,),
            "categories": (len(self.categories),),
            "calendar": (both, len(self.calendar)),
        }
        return {name: shape for name, shape in shapes.items() if shape[-1]}

    def arrays(self, histories: Sequence[History]) -> Arrays:
        """The arrays of histories, float32.

        Args:
            histories: B of them; where there is a calendar with their `end`.

        Returns:
            `values` `[B, C]`, 0 where missing or before the beginning, and `mask` `[B, C]`, 1 where known; and where there are such
            inputs `past` `[B, C, K]`, `future` `[B, C + H, K]` and `static` `[B, K]`, NaN where missing, `categories` `[B, K]`, the
            numbers of their words from 1 on, 0 where missing or unknown, and `calendar` `[B, C + H, K]`, places on a circle
            from 0 to 1.
        """
        shapes = self.shapes
        read = np.stack([_window(each.values, len(each.values) - self.context, self.context) for each in histories])
        known = np.isfinite(read)
        arrays = {"values": np.where(known, read, 0), "mask": known}
        for name in ("past", "future"):
            if name in shapes:
                rows = [
                    _window(getattr(each, name), len(each.values) - self.context, shapes[name][0]) for each in histories
                ]
                arrays[name] = np.stack(rows)
        if "static" in shapes:
            arrays["static"] = np.stack([each.static for each in histories])
        if "categories" in shapes:
            arrays["categories"] = self.numbers([each.words for each in histories])
        if "calendar" in shapes:
            ends = np.array([each.end for each in histories], np.int64)[:, None]
            stamps = ends + np.arange(-self.context, self.horizon) * self.frequency.count  # [B, C + H]
            found = phases(stamps, self.frequency, self.calendar)
            arrays["calendar"] = np.stack([place / size for place, size in found], axis=-1)
        return {name: array.astype("float32") for name, array in arrays.items()}

    def numbers(self, words: Sequence[Sequence[str]]) -> NDArray[np.int64]:
        """The numbers of categories `[B, K]`, from 1 on; 0 of those that are missing or unknown."""
        places = [{word: number for number, word in enumerate(known, 1)} for known in self.categories.values()]
        return np.array([[place.get(word, 0) for place, word in zip(places, row)] for row in words], np.int64)


def _window(array: NDArray[np.float64], begin: int, size: int) -> NDArray[np.float64]:
    """So many rows of an array from one on that may lie before its beginning; NaN where it has none."""
    found = np.full((size, *array.shape[1:]), np.nan)
    part = array[max(begin, 0) : max(begin + size, 0)]
    place = max(-begin, 0)
    found[place : place + len(part)] = part
    return found
