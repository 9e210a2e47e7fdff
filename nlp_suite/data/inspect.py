"""What the corpus of an experiment looks like, as a report and as tables for a terminal."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nlp_suite.config import Experiment
from nlp_suite.data import near_copies
from nlp_suite.data.kinds.base import corpus_kind
from nlp_suite.data.prepare import kind_of, known_statistics, open_source, splits
from nlp_suite.data.remarks import inspection_remarks
from nlp_suite.data.tables import near_copies_table, token_statistics_table
from nlp_suite.data.token_estimate import estimate_tokens
from nlp_suite.progress import scope

if TYPE_CHECKING:
    from rich.console import Group

    from nlp_suite.text.text_layer import TextLayer


@scope()
def inspect_experiment(experiment: Experiment, text: "TextLayer | None" = None) -> dict[str, Any]:
    """The report of the experiment's corpus kind on its splits, as the task reads them; nothing is written.

    The validation split and the limit are applied. Token statistics are in it once the experiment was prepared; before, they are
    estimated from the first training texts, or `remarks` on texts that are cut are made from the number of words.

    Args:
        experiment: the resolved config.
        text: the text layer of a tokenizer that learns no vocabulary, as `prepare` was given it.

    Returns:
        See `CorpusKind.inspect` of the kind; `near_copies`, of texts: see `nlp_suite.data.near_copies.inspected`;
        `estimate`, see `estimate_tokens`, empty where the statistics are known; and
        `remarks`, see `Source.remarks` and `inspection_remarks`.

    Raises:
        DataError: data that cannot be read.
    """
    source, kind = open_source(experiment), kind_of(experiment)
    statistics = known_statistics(experiment, source, text)
    selections = splits(experiment, source)
    report = kind.inspect(selections, statistics)
    report["estimate"] = {} if statistics else estimate_tokens(experiment, kind, selections["train"])
    if kind.has_copies:
        similarity = experiment.data.deduplicate or near_copies.DEFAULT
        report["near_copies"] = near_copies.inspected(selections, kind.compared_text, similarity)
    found = dict.fromkeys(remark for split in source.splits() for remark in source.remarks(split))
    return {**report, "remarks": [*found, *inspection_remarks(report, experiment, statistics)]}


def format_inspection(report: Mapping[str, Any]) -> "Group":
    """A report of `inspect_experiment` as tables for a terminal: a rich renderable."""
    from rich.console import Group
    from rich.text import Text

    kind = corpus_kind(report["kind"])
    counted = {section: facts for section, facts in report.get("estimate", {}).items() if "error" not in facts}
    estimate = [token_statistics_table("first training texts", counted, "by")] if counted else []
    copies = [near_copies_table(report["near_copies"])] if "near_copies" in report else []
    return Group(*kind.tables(report), *copies, *estimate, *map(Text, report.get("remarks", ())))
