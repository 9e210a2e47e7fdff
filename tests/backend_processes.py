"""Processes that tests start on another backend of Keras."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


# Most of the time on JAX goes into compiling many small shapes: XLA hardly optimises, and nothing is compiled twice.
QUICK_JAX = {
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_COMPILATION_CACHE_DIR": str(Path(tempfile.gettempdir()) / f"nlp-suite-tests-{os.getuid()}-jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


def environment(backend: str) -> dict[str, str]:
    """This one's, with a backend."""
    return {**os.environ, **QUICK_JAX, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}


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
