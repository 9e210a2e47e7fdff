"""What the corpus of an experiment looks like, as a report and as tables for a terminal."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nlp_suite.config import Experiment
from nlp_suite.data.kinds.base import corpus_kind
from nlp_suite.data.prepare import kind_of, known_statistics, open_source, splits
from nlp_suite.progress import scope

if TYPE_CHECKING:
    from rich.console import Group


@scope()
def inspect_experiment(experiment: Experiment) -> dict[str, Any]:
    """The report of the experiment's corpus kind on its splits, as the task reads them; nothing is written.

    The validation split and the limit are applied. Token statistics are in it once the experiment was prepared.

    Args:
        experiment: the resolved config.

    Returns:
        See `CorpusKind.inspect` of the kind.

    Raises:
        DataError: data that cannot be read.
    """
    source = open_source(experiment)
    return kind_of(experiment).inspect(splits(experiment, source), known_statistics(experiment, source))


def format_inspection(report: Mapping[str, Any]) -> "Group":
    """A report of `inspect_experiment` as tables for a terminal: a rich renderable."""
    from rich.console import Group

    return Group(*corpus_kind(report["kind"]).tables(report))
