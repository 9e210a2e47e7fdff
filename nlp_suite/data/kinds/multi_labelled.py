"""Texts with any number of labels each, also none."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.config import DataSettings
from nlp_suite.data.kinds.base import CorpusKind, Positions
from nlp_suite.data.kinds.labelled import LabelledKind, labels_of
from nlp_suite.data.selection import Selection
from nlp_suite.errors import DataError
from nlp_suite.registry import CORPUS_KINDS
from nlp_suite.task import Assets


@CORPUS_KINDS.register()
class MultiLabelledKind(LabelledKind):
    """Examples `{"text": …, "label": [name, …]}`; a name alone is a list of one.

    The store's column `labels` has a row of C numbers a text, uint8 `[N, C]`: 1 for a label that it has.
    """

    wanted = "texts with any number of labels"
    label_form = "several"

    def field_value(self, field: str, value: Any, called: str) -> Any:
        """See `CorpusKind.field_value`; of labels a list, or text with `label_separator` between them; each counts once."""
        if field != "label":
            return super().field_value(field, value, called)
        if isinstance(value, str):
            value = [name.strip() for name in value.split(self.label_separator)] if value.strip() else []
        names = [super(MultiLabelledKind, self).field_value(field, name, called) for name in _listed(value)]
        return list(dict.fromkeys(names))

    def split(self, data: DataSettings, train: Selection) -> tuple[Positions, Positions]:
        """See `CorpusKind.split`; a text stays in training if it has a label that no other text there has."""
        kept, held_out = CorpusKind.split(self, data, train)
        labels = labels_of(train)
        known = {name for row in kept for name in self.label_parts(labels[row])}
        only = np.array([not known.issuperset(self.label_parts(labels[row])) for row in held_out], bool)
        if only.all():  # a corpus of a few rows
            return kept, held_out
        return np.sort(np.concatenate([kept, held_out[only]])), held_out[~only]

    def folds(self, data: DataSettings, train: Selection, folds: int) -> Positions:
        """See `CorpusKind.folds`; at random."""
        return CorpusKind.folds(self, data, train, folds)

    def limit(self, data: DataSettings, examples: Selection) -> Positions | None:
        return CorpusKind.limit(self, data, examples)

    def label_parts(self, label: Any) -> Sequence[str]:
        return (label,) if isinstance(label, str) else label

    def label_column(self, assets: Assets) -> dict[str, Any]:
        return {"label_dtype": "uint8", "labels_per_row": len(assets.labels)}

    def label_encoder(self, assets: Assets) -> Callable[[Any], NDArray[Any]]:
        """See `LabelledKind.label_encoder`: names → uint8 `[C]`."""
        one = super().label_encoder(assets)

        def encode(label: Any) -> NDArray[Any]:
            if label is None:
                raise DataError("there is no list of labels (data.source.label_column)")
            row = np.zeros(len(assets.labels), "uint8")
            row[[one(name) for name in self.label_parts(label)]] = 1
            return row

        return encode

    def count_labels(self, labels: NDArray[Any], assets: Assets) -> dict[str, Any]:
        return dict(zip(assets.labels, labels.reshape(-1, len(assets.labels)).sum(axis=0, dtype=int).tolist()))


def _listed(value: Any) -> list[Any]:
    """The labels of a row as a file has them; null and NaN are none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return []
    return value if isinstance(value, list) else [value]
