"""Whether a compiled loop may change the shape of its state: TensorFlow's may, those of XLA (and so of JAX) may not."""

from contextlib import contextmanager
from contextvars import ContextVar

import keras

_FIXED = ContextVar("fixed_shapes", default=False)


def shapes_may_change() -> bool:
    """Whether a loop that is traced now may change the shape of its state."""
    return keras.backend.backend() == "tensorflow" and not _FIXED.get()


@contextmanager
def fixed_shapes():
    """Within the context loops are traced for XLA, with state of fixed shape."""
    token = _FIXED.set(True)
    try:
        yield
    finally:
        _FIXED.reset(token)
