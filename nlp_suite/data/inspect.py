"""What the corpus of an experiment looks like, as a report and as tables for a terminal."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nlp_suite.config import Experiment
from nlp_suite.data.kinds.base import corpus_kind
from nlp_suite.data.prepare import kind_of, known_statistics, open_source, splits

if TYPE_CHECKING:
    from rich.console import Group


def inspect_experiment(experiment: Experiment) -> dict[str, Any]:
    """The report of the experiment's corpus kind on its splits, as the task reads them; nothing is written.

    The validation split and the limit are applied. Token statistics, and `remarks` on them, are in it once the experiment
    was prepared.

    Args:
        experiment: the resolved config.

    Returns:
        See `CorpusKind.inspect` of the kind; and `remarks`, see `CorpusKind.remarks`.

    Raises:
        DataError: data that cannot be read.
    """
    source, kind = open_source(experiment), kind_of(experiment)
    statistics = known_statistics(experiment, source)
    report = kind.inspect(splits(experiment, source), statistics)
    return {**report, "remarks": kind.remarks(statistics, experiment) if statistics else []}


def format_inspection(report: Mapping[str, Any]) -> "Group":
    """A report of `inspect_experiment` as tables for a terminal: a rich renderable."""
    from rich.console import Group

    return Group(*corpus_kind(report["kind"]).tables(report), *report.get("remarks", ()))
