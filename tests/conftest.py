"""What all tests share: quiet logs, small experiments, paths of the real data."""

import gc
import logging
import os
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:  # as many workers as cores: an operation is not shared out among threads
    for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(_name, "1")
gc.set_threshold(100_000, 50, 100)  # collecting less often saves a fifteenth of the time: graphs are many small objects
# The same examples every time: a change fails for what it changed.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")
ROOT = Path(__file__).parents[1]
REAL_DATA = ROOT.parent / "shared" / "data"

LONG_FIRST = (
    *("test_shipped", "test_beam", "test_wheel", "training", "decoding", "tasks", "export", "serving", "test_cli"),
    *("backbones", "layers"),
)


def pytest_collection_modifyitems(items):
    """Puts what takes longest first, so that no worker begins a long file when the others have ended."""

    def place(item):
        parts = item.path.relative_to(ROOT / "tests").parts
        return next((i for i, name in enumerate(LONG_FIRST) if parts[0].startswith(name)), len(LONG_FIRST))

    items.sort(key=place)


@pytest.fixture
def real_data():
    """Folder of the real corpora; skips where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real corpora are not at {REAL_DATA.parent.name}/{REAL_DATA.name} beside the repository")
    return REAL_DATA


@pytest.fixture
def unlogged():
    """As in a program that logs nothing, whatever a server in this process has set up."""
    logger = logging.getLogger("nlp_suite")
    level = logger.level
    logger.setLevel(logging.NOTSET)
    yield
    logger.setLevel(level)


@pytest.fixture
def small(tmp_path):
    """A function that makes an experiment small enough for a second of training; keyword arguments are sections."""
    from nlp_suite.config import load_experiment

    def make(*overrides, **sections):
        values = {
            "task": {"name": "sentiment", "dropout": 0.1},
            "data": {"source": {"name": "sample", "size": 300, "test": 60}, "cache": str(tmp_path / "cache")},
            "text": {"max_length": 40},
            "backbone": {"name": "bag", "embedding_size": 4, "ngram_buckets": 1024},
            "training": {"epochs": 2, "batch_size": 32, "buckets": 3, "learning_rate": 0.01, "tensorboard": False},
        }
        for section, settings in sections.items():
            values[section] = {**values.get(section, {}), **settings} if isinstance(settings, dict) else settings
        return load_experiment(values, list(overrides))

    return make
