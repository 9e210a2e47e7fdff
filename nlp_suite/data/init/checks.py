"""Data from which nothing can be learned, refused before a config is written for them."""

import itertools
from collections import Counter
from dataclasses import replace

from nlp_suite.data.init.seen import Seen
from nlp_suite.data.label_spelling import label_merger, spelling_key
from nlp_suite.errors import DataError

MAX_LABELS = 1000
SHOWN = 5


def check_seen(seen: Seen, title: str) -> None:
    """Refuses fewer than two rows, texts that are all equal or empty, and labels that are none.

    Raises:
        DataError: which of them, and what to do.
    """
    if seen.train_rows < 2:
        rows = "one training row" if seen.train_rows else "no training rows"
        why = f" ({'; '.join(seen.remarks)})" if seen.remarks else ""
        raise DataError(f"{title} has {rows}{why}: nothing can be learned from fewer than two")
    for field, texts in seen.texts.items():
        if texts.empty == texts.count:
            raise DataError(f"{title}: all {texts.count:,} texts of {field!r} are empty")
        if texts.different < 2:
            raise DataError(
                f"{title}: all {texts.count:,} texts of {field!r} are equal ({texts.samples[0][:60]!r}); another column "
                f"is chosen with --{field.replace('_', '-')}"
            )
    if seen.labels:
        _check_labels(seen, title)


def with_merged_labels(seen: Seen) -> tuple[Seen, str]:
    """What was seen with labels that are one label written in several ways as one, and which those are; empty: none."""
    alike: dict[str, list[str]] = {}
    for label in seen.train_labels:
        alike.setdefault(spelling_key(label), []).append(label)
    several = [" and ".join(map(repr, sorted(group))) for group in alike.values() if len(group) > 1]
    if not several:
        return seen, ""
    merge = label_merger(itertools.chain.from_iterable(itertools.repeat(*item) for item in seen.train_labels.items()))
    labels: dict[str, Counter[str]] = {}
    for split, counts in seen.labels.items():
        labels[split] = Counter()
        for label, count in counts.items():
            labels[split][merge(label)] += count
    return replace(seen, labels=labels), ", ".join(several[:SHOWN])


def _check_labels(seen: Seen, title: str) -> None:
    labels, rows = seen.train_labels, seen.train_rows
    if len(labels) == 1:
        raise DataError(
            f"{title}: all {rows:,} rows have the label {next(iter(labels))!r}, and a classifier needs two or more; another "
            "column of labels is chosen with --label"
        )
    if len(labels) > MAX_LABELS or 2 * len(labels) > max(rows, 2 * SHOWN):
        shown = ", ".join(repr(label[:30]) for label in list(labels)[:SHOWN])
        raise DataError(
            f"{title}: the column of labels has {len(labels):,} different values in {rows:,} rows ({shown}, …): that is no "
            "label column, in which every value occurs several times; choose another one with --label"
        )
    for split, counts in seen.labels.items():
        if unknown := [label for label in counts if label not in labels]:
            shown = ", ".join(map(repr, unknown[:SHOWN]))
            raise DataError(
                f"{title}: {split} has {len(unknown):,} labels that train lacks ({shown}), in "
                f"{sum(counts[label] for label in unknown):,} rows; a label is learned from training rows only"
            )
