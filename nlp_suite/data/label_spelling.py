"""Labels that are one label written in several ways: in another case, with blanks around it, or `1.0` for `1`."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from nlp_suite.errors import DataError

_WHOLE = re.compile(r"\A([+-]?\d+)\.0+\Z")
_NAMED = 5  # groups of labels in a message


def spelling_key(label: str) -> str:
    """What all ways to write a label have in common."""
    key = " ".join(label.split()).casefold()
    return _WHOLE.sub(r"\1", key)


def check_spellings(counts: Mapping[str, int], named: Sequence[str] | None = None) -> None:
    """Refuses labels that are one label written in several ways.

    Args:
        counts: label → rows that have it.
        named: `data.labels`; labels that it names are meant to differ.

    Raises:
        DataError: two of them are alike; both are named with their counts.
    """
    groups = defaultdict(list)
    for label in counts:
        groups[spelling_key(label)].append(label)
    alike = [group for group in groups.values() if len(set(group) - set(named or ())) and len(group) > 1]
    if alike:
        shown = [
            " and ".join(f"{label!r} ({counts[label]:,} rows)" for label in sorted(group)) for group in alike[:_NAMED]
        ]
        more = f", and {len(alike) - _NAMED} more" if len(alike) > _NAMED else ""
        raise DataError(
            f"labels that differ only in case, in blanks or as 1 and 1.0 do: {'; '.join(shown)}{more}; set "
            "data.labels_normalise: true to make each group one label, or name all that are meant in data.labels"
        )


def label_merger(labels: Iterable[str], named: Sequence[str] | None = None) -> Callable[[Any], Any]:
    """What writes labels in one way: as `named` does, else as most of `labels` do.

    Labels of a key that neither has stay as they are, and so does what is no label; in a list of labels each is written so.
    """
    chosen: dict[str, str] = {}
    counts = Counter(labels)
    for label in [*(named or ()), *sorted(counts, key=lambda label: (-counts[label], label))]:
        chosen.setdefault(spelling_key(label), label)

    return partial(_merged, chosen)  # which other processes can be sent


def _merged(chosen: Mapping[str, str], label: Any) -> Any:
    """A label, or a list of them, in the one way: the label chosen for its key."""
    if isinstance(label, list | tuple):
        return type(label)(_merged(chosen, each) for each in label)
    return chosen.get(spelling_key(label), label) if isinstance(label, str) else label


def similar_label(label: str, labels: Iterable[str]) -> str | None:
    """The one of some labels that is written in another way than a label; None: there is none."""
    return next((other for other in labels if spelling_key(other) == spelling_key(label) and other != label), None)
