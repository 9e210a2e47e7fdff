"""The tests of backbones, decoders and attentions, run again on JAX and on PyTorch in other processes."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backend_processes import environment

ROOT = Path(__file__).parents[2]
BACKBONES, DECODERS = "tests/backbones/test_backbones.py", "tests/backbones/test_decoders.py"
RECURRENT = [
    "tests/layers/test_attentions.py",
    "tests/layers/test_lora.py",
    "tests/backbones/test_recurrent_decoders.py",
]
RUNS = {
    "recurrent decoders on JAX": ("jax", "not concat and not rnn", RECURRENT),
    "recurrent decoders on PyTorch": ("torch", "not concat and not rnn", RECURRENT),
    # compiling every backbone and decoder on JAX takes a quarter of an hour
    "contracts on JAX": ("jax", "contract and (cnn-layers or gru-residual or gru-heads)", [BACKBONES, DECODERS]),
    "contracts on PyTorch": ("torch", "not other_settings", [BACKBONES, DECODERS]),
}


@pytest.mark.slow
@pytest.mark.parametrize("backend, chosen, files", RUNS.values(), ids=RUNS)
def test_on_backend(backend, chosen, files):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, *files],
        env=environment(backend),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
