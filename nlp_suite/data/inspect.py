"""What the corpus of an experiment looks like, as a report and as tables for a terminal."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nlp_suite.config import Experiment
from nlp_suite.data.corpus_stats import PERCENTILES
from nlp_suite.data.kinds.base import corpus_kind
from nlp_suite.data.prepare import kind_of, known_statistics, open_source, splits
from nlp_suite.progress import scope

if TYPE_CHECKING:
    from rich.console import Group


@scope()
def inspect_experiment(experiment: Experiment) -> dict[str, Any]:
    """The report of the experiment's corpus kind on its splits, as the task reads them; nothing is written.

    The validation split and the limit are applied. Token statistics are in it once the experiment was prepared; `remarks` on
    texts that are cut are made from them or, before, from the number of words.

    Args:
        experiment: the resolved config.

    Returns:
        See `CorpusKind.inspect` of the kind; and `remarks`, see `Source.remarks` and `CorpusKind.remarks`.

    Raises:
        DataError: data that cannot be read.
    """
    source, kind = open_source(experiment), kind_of(experiment)
    statistics = known_statistics(experiment, source)
    report = kind.inspect(splits(experiment, source), statistics)
    remarks = kind.remarks(statistics, experiment) if statistics else _remarks_on_words(report, experiment)
    found = dict.fromkeys(remark for split in source.splits() for remark in source.remarks(split))
    return {**report, "remarks": [*found, *remarks]}


def _remarks_on_words(report: Mapping[str, Any], experiment: Experiment) -> list[str]:
    """What the words of the training texts tell of truncation before anything was tokenized."""
    words, limit = report["splits"]["train"].get("words"), experiment.text.max_length
    longer = [p for p in PERCENTILES if isinstance(words, dict) and words.get(f"p{p}", 0) > limit]
    if not longer or longer[0] > 95:
        return []
    return [
        f"{100 - longer[0]}% of the training texts or more have more words than text.max_length={limit} tokens and will be cut; "
        "nlp-suite prepare counts how many, and of how many tokens"
    ]


def format_inspection(report: Mapping[str, Any]) -> "Group":
    """A report of `inspect_experiment` as tables for a terminal: a rich renderable."""
    from rich.console import Group

    return Group(*corpus_kind(report["kind"]).tables(report), *report.get("remarks", ()))
