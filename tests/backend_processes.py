"""Processes that tests start on another backend of Keras."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def environment(backend: str) -> dict[str, str]:
    """This one's, with a backend; XLA hardly optimises: most of the time would go into compiling many small shapes."""
    return {**os.environ, "KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "PYTHONPATH": str(ROOT)}


def run_on(backend: str, *arguments: str) -> str:
    """The standard output of Python with these arguments; skips the test where the backend is not installed."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    run = subprocess.run(
        [sys.executable, *arguments],
        env=environment(backend),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    return run.stdout


def run_tests_on(backend: str, files: Sequence[str], chosen: str = "") -> None:
    """Runs the chosen tests (pytest's `-k`) of files, which are named from the root."""
    run_on(backend, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, *files)
