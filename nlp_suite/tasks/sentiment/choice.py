"""Which label is the answer: the most probable one, or as thresholds and abstention have it; and the columns of answers."""

import heapq
from collections.abc import Callable, Sequence
from typing import Any

from nlp_suite.errors import RequestError
from nlp_suite.predictor import AnswerOptions
from nlp_suite.registry import unknown

Cell = Callable[[dict[str, Any]], Any]


def chooser(labels: Sequence[str], options: AnswerOptions) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What makes of a classifier's answer the one that `options` want (see `AnswerOptions`).

    The `label` may be None then, with the `probability` of the label that it would have been; `top` are the K most probable
    labels, each with `label` and `probability`.

    Raises:
        RequestError: a label that there is not, or more labels than there are.
    """
    thresholds, top_k, least = options.thresholds, options.top_k, options.abstain_below or 0.0
    for label in thresholds:
        if label not in labels:
            raise RequestError(unknown("label", label, labels))
    if top_k is not None and top_k > len(labels):
        raise RequestError(f"top_k is {top_k}; allowed: from 1 to {len(labels)}, the number of labels")
    free = [label for label in labels if label not in thresholds]

    def choose(answer: dict[str, Any]) -> dict[str, Any]:
        probabilities = answer["probabilities"]
        reached = [label for label, threshold in thresholds.items() if probabilities[label] >= threshold]
        candidates = reached or free
        best = max(candidates or labels, key=probabilities.__getitem__)
        label = best if candidates and probabilities[best] >= least else None
        chosen = {**answer, "label": label, "probability": probabilities[best]}
        if top_k is not None:
            top = heapq.nlargest(top_k, labels, key=probabilities.__getitem__)
            chosen["top"] = [{"label": label, "probability": probabilities[label]} for label in top]
        return chosen

    return choose


def answer_columns(labels: Sequence[str], for_people: bool, top_k: int | None = None) -> dict[str, Cell]:
    """Columns of answers: the label and the probability of every label, or the `top_k` most probable ones.

    Args:
        labels: label names.
        for_people: for a terminal, else for a file.
        top_k: how many.
    """
    if for_people:
        columns: dict[str, Cell] = {"label": lambda answer: answer["label"] or "(none)"}
        if top_k:
            return columns | {f"{rank + 1}.": _ranked(rank) for rank in range(top_k)}
        return columns | {f"p({label})": _written(label) for label in labels}
    columns = {"label": lambda answer: answer["label"], "probability": lambda answer: round(answer["probability"], 6)}
    if not top_k:
        return columns | {f"p({label})" if label in columns else label: _rounded(label) for label in labels}
    for rank in range(top_k):
        columns |= {f"label_{rank + 1}": _at(rank, "label"), f"probability_{rank + 1}": _at(rank, "probability")}
    return columns


def _written(label: str) -> Cell:
    return lambda answer: f"{answer['probabilities'][label]:.4f}"


def _rounded(label: str) -> Cell:
    return lambda answer: round(answer["probabilities"][label], 6)


def _ranked(rank: int) -> Cell:
    return lambda answer: f"{answer['top'][rank]['label']} {answer['top'][rank]['probability']:.4f}"


def _at(rank: int, key: str) -> Cell:
    def cell(answer):
        value = answer["top"][rank][key]
        return round(value, 6) if key == "probability" else value

    return cell
