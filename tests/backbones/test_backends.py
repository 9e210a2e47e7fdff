"""The tests of backbones, decoders and attentions, run again on JAX and on PyTorch in other processes."""

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
    here = [f"tests/backbones/test_{name}.py" for name in ("backbones", "decoders", "recurrent_decoders")]
    files = ["tests/layers/test_attentions.py", *here]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not concat and not rnn", *files],
        env=dict(os.environ, KERAS_BACKEND=backend, JAX_DISABLE_MOST_OPTIMIZATIONS="1"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
