"""Which sentence pairs training reads: none with an empty side, too long, or with sides too different in length."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def pair_filter(full_lengths: Any, max_tokens: int, max_ratio: float | None) -> tuple[NDArray[Any], dict[str, int]]:
    """Row numbers of the pairs that are kept, and how many are left out for what reason.

    A pair that could be left out for several reasons counts for the first of them, in the order of the counts.

    Args:
        full_lengths: tokens of source and target before truncation, END counted, `[N, 2]`.
        max_tokens: of a side, END counted.
        max_ratio: tokens of the longer side for one of the shorter, END counted; `None`: any.

    Returns:
        `(rows, counts)`: int64 row numbers, ascending; reason → pairs.

    Example:
        >>> pair_filter([[5, 6], [1, 4], [9, 5], [2, 8]], max_tokens=8, max_ratio=3.0)
        (array([0]), {'empty source': 1, 'empty target': 0, 'source too long': 1, 'target too long': 0, 'ratio too high': 1})
    """
    source, target = np.asarray(full_lengths).reshape(-1, 2).T  # [N] each
    longer, shorter = np.maximum(source, target), np.minimum(source, target)
    reasons = {
        "empty source": source <= 1,
        "empty target": target <= 1,
        "source too long": source > max_tokens,
        "target too long": target > max_tokens,
        "ratio too high": np.zeros(len(source), bool) if max_ratio is None else longer > max_ratio * shorter,
    }
    usable, counts = np.ones(len(source), bool), {}
    for reason, applies in reasons.items():
        counts[reason] = int(np.count_nonzero(usable & applies))
        usable &= ~applies
    return np.flatnonzero(usable), counts
