"""The tests of backbones, decoders and attentions, run again on JAX and on PyTorch in other processes."""

import pytest

from tests.backend_processes import run_tests_on

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
    run_tests_on(backend, files, chosen)
