"""The tests of optimisers, class weights, self-attention and weight drop, run again on JAX and on PyTorch in other processes."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backend_processes import environment

TESTS = Path(__file__).parents[1]
FILES = [
    "training/test_optimizer.py",
    "training/test_schedules.py",
    "tasks/sentiment/test_class_weights.py",
    "layers/test_weight_drop.py",
    "layers/test_self_attention.py",
]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("file", FILES)
def test_on_backend(backend, file):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS / file)],
        env=environment(backend),
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
