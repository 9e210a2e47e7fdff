"""Texts with one of several ordered labels each, such as stars."""

from nlp_suite.config import Experiment
from nlp_suite.data.kinds.labelled import LabelledKind
from nlp_suite.data.kinds.rated import number
from nlp_suite.data.selection import Selection
from nlp_suite.errors import DataError
from nlp_suite.registry import CORPUS_KINDS


@CORPUS_KINDS.register()
class OrderedKind(LabelledKind):
    """Examples `{"text": …, "label": …}` whose labels have an order: that of their numbers, or that of `data.labels`."""

    wanted = "ordered labels"
    label_form = "number"

    def label_names(self, experiment: Experiment, train: Selection) -> list[str]:
        """See `LabelledKind.label_names`; ascending, the lowest first."""
        names = super().label_names(experiment, train)
        if experiment.data.labels:
            return names
        try:
            return sorted(names, key=number)
        except DataError:
            raise DataError(
                f"which label is above which cannot be told from {', '.join(names[:10])}: they are no numbers; "
                "give data.labels, the lowest first"
            ) from None
