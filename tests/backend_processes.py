"""The environment of processes that tests start on another backend of Keras."""

import os


def environment(backend: str) -> dict[str, str]:
    """This one's, with a backend; XLA hardly optimises: most of the time would go into compiling many small shapes."""
    return {**os.environ, "KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
