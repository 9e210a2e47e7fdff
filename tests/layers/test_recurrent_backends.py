"""The recurrent layers' tests against Keras and NumPy, run again on JAX and on PyTorch in separate processes."""

import pytest

from tests.backend_processes import run_tests_on

FILES = ["tests/layers/test_recurrent_keras.py", "tests/layers/test_recurrent_numpy.py"]
# Every mask compiles anew on JAX; what is right-padded is a mask as any other there.
CHOSEN = "not empty and not zeros and not right and not SimpleRNN and not (seeded_dropout and none)"


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_backend(backend):
    run_tests_on(backend, FILES, CHOSEN)
