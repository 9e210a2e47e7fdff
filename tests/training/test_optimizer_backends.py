"""The tests of optimisers, class weights, self-attention and weight drop, run again on JAX and on PyTorch in other processes."""

import pytest

from tests.backend_processes import run_tests_on

FILES = [
    "training/test_optimizer.py",
    "training/test_schedules.py",
    "tasks/sentiment/test_class_weights.py",
    "layers/test_weight_drop.py",
    "layers/test_self_attention.py",
]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_backend(backend):
    run_tests_on(backend, [f"tests/{file}" for file in FILES])
