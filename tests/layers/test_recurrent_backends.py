"""The recurrent layers' tests against Keras and NumPy, run again on JAX and on PyTorch in separate processes."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backend_processes import environment

HERE = Path(__file__).parent
# Every mask compiles anew on JAX; what is right-padded is a mask as any other there.
CHOSEN = "not empty and not zeros and not right and not SimpleRNN and not (seeded_dropout and none)"


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_backend(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    files = [str(HERE / name) for name in ("test_recurrent_keras.py", "test_recurrent_numpy.py")]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", CHOSEN, *files],
        env=environment(backend),
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
