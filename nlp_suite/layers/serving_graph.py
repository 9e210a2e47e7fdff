"""Whether the graph that is traced now is for a server: it only answers, and XLA does not compile it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from nlp_suite.layers.loop_shapes import shapes_may_change

_SERVING = ContextVar("serving_graph", default=False)


def is_serving_graph() -> bool:
    """Whether a layer may choose what only answers requests, on TensorFlow: without a gradient, for right-padded masks."""
    return _SERVING.get() and shapes_may_change()


@contextmanager
def serving_graph() -> Iterator[None]:
    """Within the context layers are traced for a server. Every mask has its padding on the right."""
    token = _SERVING.set(True)
    try:
        yield
    finally:
        _SERVING.reset(token)
