"""Labels that are doubted by models which have not seen their rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def doubted_rows(truth: NDArray[Any], probabilities: NDArray[Any]) -> NDArray[Any]:
    """Rows for which another label is answered, the one whose own label is least probable first.

    Args:
        truth: label ids, int `[N]`.
        probabilities: of models that were not trained on the row, `[N, C]`.
    """
    own = probabilities[np.arange(len(truth)), truth]  # [N]
    order = np.argsort(own, kind="stable")
    return order[probabilities.argmax(axis=1)[order] != truth[order]]
