"""The tests of attentions and recurrent decoders, run again on JAX and on PyTorch in processes of their own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_backend(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    files = ["tests/layers/test_attentions.py", "tests/backbones/test_recurrent_decoders.py"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not concat and not rnn", *files],
        env=dict(os.environ, KERAS_BACKEND=backend, JAX_DISABLE_MOST_OPTIMIZATIONS="1"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
