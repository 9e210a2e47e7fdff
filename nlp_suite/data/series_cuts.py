"""Where time series are cut into splits, and which of them are too short for it."""

from collections.abc import Mapping
from typing import Any

from nlp_suite.config import Experiment
from nlp_suite.data.sources.base import SPLITS


def cut_of(experiment: Experiment) -> dict[str, Any]:
    """What decides where series are cut into splits: settings of the task, and `data.validation`."""
    task = experiment.task
    return {
        "context": task.context,
        "horizon": task.horizon,
        "test": task.test_steps,
        "validation": experiment.data.validation,
        "short": task.short_series,
    }


def held_out(steps: int, cut: Mapping[str, Any]) -> tuple[int, int]:
    """Steps of validation and of test of a series that has so many."""
    return max(cut["horizon"], round(cut["validation"] * (steps - cut["test"]))), cut["test"]


def needed_steps(cut: Mapping[str, Any], split: str = "train") -> int:
    """Steps that a series must have, so that there is a window to train on, one to validate and one to test.

    Of any other split, such as the series of another file, all is measured that has a context before it.
    """
    least = (1 if cut["short"] == "pad" else cut["context"]) + cut["horizon"]
    if split not in SPLITS:
        return int(least)
    steps = least + cut["horizon"] + cut["test"]
    while steps - sum(held_out(steps, cut)) < least:
        steps += 1
    return int(steps)


def bounds(steps: int, cut: Mapping[str, Any], split: str = "train") -> dict[str, tuple[int, int]] | None:
    """Split → the first step that is predicted and the end; None of a series that is too short, see `needed_steps`."""
    needed = needed_steps(cut, split)
    if steps < needed:
        return None
    if split not in SPLITS:
        return {split: (needed - cut["horizon"], steps)}
    validation, test = held_out(steps, cut)
    cuts = (0, steps - test - validation, steps - test, steps)
    return {split: (cuts[i], cuts[i + 1]) for i, split in enumerate(SPLITS)}


def left_out_of(count: int, total: int, cut: Mapping[str, Any], split: str) -> str:
    """A sentence on so many of all series that are too short."""
    needed = needed_steps(cut, split)
    return f"{count:,} of {total:,} series are left out: they are shorter than the {needed:,} steps that are needed"
