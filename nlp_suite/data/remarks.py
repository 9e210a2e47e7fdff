"""Sentences on what a user may not expect of the data and of the settings for them, each with its remedy."""

from collections.abc import Mapping, Sequence
from typing import Any

from nlp_suite.config import Experiment
from nlp_suite.data.kinds.base import corpus_kind
from nlp_suite.data.near_copies import MAX_INSPECTED
from nlp_suite.data.token_estimate import estimate_remarks
from nlp_suite.task import task_class

COPIES_TO_MENTION = 0.01


def remarks(
    experiment: Experiment, statistics: Mapping[str, Mapping[str, Any]], labels: Sequence[str], split: str = "train"
) -> list[str]:
    """What the corpus kind says of a split, and the task of its settings; empty where all is well.

    Args:
        experiment: the resolved config.
        statistics: of the texts by split, as `prepare` found them.
        labels: label names.
        split: which one is read.
    """
    task = task_class(experiment.task.name, experiment.task.arguments())
    of_texts = corpus_kind(task.corpus_kind).remarks(statistics, experiment, split)
    return [*of_texts, *remarks_on_settings(experiment, labels)]


def remarks_on_settings(experiment: Experiment, labels: Sequence[str]) -> list[str]:
    """What the task and the backbone say of the settings alone.

    Args:
        experiment: the resolved config.
        labels: label names.
    """
    task = task_class(experiment.task.name, experiment.task.arguments())
    return [*task.remarks(experiment, labels), *experiment.backbone.remarks(experiment.training)]


def inspection_remarks(
    report: Mapping[str, Any], experiment: Experiment, statistics: Mapping[str, Mapping[str, Any]] | None
) -> list[str]:
    """What there is to say of the texts themselves and, as `remarks` does, of tokens and settings.

    Args:
        report: of `CorpusKind.inspect`, and `estimate`, of `estimate_tokens`, where it was asked for.
        experiment: the resolved config.
        statistics: see `remarks`; None where the experiment was not prepared yet.
    """
    kind, labels = corpus_kind(report["kind"]), list(report["splits"]["train"].get("labels", ()))
    of_texts = [*kind.remarks_on_texts(report, experiment), *_copies_remarks(report, experiment)]
    if statistics:
        return [*of_texts, *remarks(experiment, statistics, labels)]
    of_tokens = (
        estimate_remarks(report["estimate"], experiment)
        if report.get("estimate")
        else kind.remarks_on_words(report, experiment)
    )
    return [*of_texts, *of_tokens, *remarks_on_settings(experiment, labels)]


def _copies_remarks(report: Mapping[str, Any], experiment: Experiment) -> list[str]:
    """A sentence where one in a hundred texts of a split or more have a near copy in training, with the remedy."""
    found = report.get("near_copies")
    if not found:
        return []
    many = [f"{share:.1%} of {split}" for split, share in found["shares"].items() if share >= COPIES_TO_MENTION]
    lines = []
    if many:
        copies = found["train_rows"]
        remedy = f"data.deduplicate: {found['similarity']:g} leaves these {copies:,} training texts out"
        if copies == found["train_compared"]:
            remedy = f"all {copies:,} training texts are such copies"
        lines.append(
            f"{' and '.join(many)} have a near copy in training, which flatters what is measured there: {remedy}"
        )
    if not found["all"]:
        lines.append(
            f"near copies were looked for in the first {MAX_INSPECTED[0]:,} training texts and {MAX_INSPECTED[1]:,} of each other split"
        )
    return lines
