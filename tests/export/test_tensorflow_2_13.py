"""Exports answer in TensorFlow 2.13, the oldest that `--server-version` allows, as Python does here.

Skipped unless TENSORFLOW_2_13_PYTHON names a Python (3.10 has wheels of both) with tensorflow 2.13 and tensorflow-text 2.13.
"""

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from nlp_suite.config import load_experiment
from nlp_suite.export import run_export, self_check
from nlp_suite.training.train import train

PYTHON = os.environ.get("TENSORFLOW_2_13_PYTHON", "")
CONFIGS = Path(__file__).parents[2] / "configs"
SAYS = """
import sysconfig
from importlib.metadata import version
print(version("tensorflow"), version("tensorflow-text"), sysconfig.get_paths()["purelib"])
"""


@pytest.fixture
def in_tensorflow_2_13(monkeypatch):
    """The self-check of an export, every signature alone and in a batch, in a process of that Python and its packages."""
    found = subprocess.run([PYTHON, "-c", SAYS], capture_output=True, text=True, check=True).stdout.split()
    assert found[0].startswith("2.13.") and found[1].startswith("2.13."), found
    monkeypatch.setattr(self_check, "sys", SimpleNamespace(executable=PYTHON, path=[found[2]]))
    ours = self_check._fresh_process  # bars Keras, too, without which this TensorFlow cannot be imported
    monkeypatch.setattr(self_check, "_fresh_process", lambda job: ours({**job, "forbidden": ["nlp_suite"]}))


@pytest.mark.slow
@pytest.mark.skipif(
    not PYTHON, reason="TENSORFLOW_2_13_PYTHON names no Python with tensorflow and tensorflow-text 2.13"
)
@pytest.mark.parametrize(
    "config, settings",
    [
        ("sentiment_sample", ["data.source.size=400"]),
        ("lm_sample", ["data.source.size=400", "backbone.units=16", "text.tokenizer=sentencepiece"]),
        ("translation_sample", ["data.source.size=400", "text.tokenizer.vocabulary_size=400", "backbone.units=8"]),
        ("forecasting_sample", ["data.source.size=4"]),
    ],
)
def test_an_export_answers_the_same(config, settings, tmp_path, in_tensorflow_2_13):
    small = ["training.epochs=1", "training.tensorboard=false", f"data.cache={tmp_path / 'cache'}", *settings]
    run = train(load_experiment(CONFIGS / f"{config}.yaml", small), tmp_path / "run")
    check = run_export(run.directory, tmp_path / "exported").report["self_check"]
    assert check["rows"] > 0 and check["warmup_records"] > 0 and check["largest_difference"] <= 1e-5
