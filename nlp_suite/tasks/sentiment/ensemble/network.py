"""The networks of an ensemble as one model, whose weights are one checkpoint."""

from collections.abc import Sequence
from typing import Any

import keras


class EnsembleModel(keras.Model):
    """Several networks side by side; each is asked on its own, as each has a text layer of its own.

    Args:
        members: the networks, built, in the order of `Assets.members`.
    """

    def __init__(self, members: Sequence[Any], **kwargs: Any):
        super().__init__(**kwargs)
        self.members = list(members)
        self.built = True
