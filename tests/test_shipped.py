"""What is shipped beside the package: configs that load, pipelines that run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nlp_suite.config import load_experiment
from tests.pretrained.encoders import write_bert

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_load_and_say_what_to_expect(path):
    experiment = load_experiment(path)
    header = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
    assert any(f"nlp-suite train configs/{path.name}" in line for line in header)
    assert any("Expected time:" in line for line in header) and any("Expected score:" in line for line in header)
    assert path.stem.startswith({"language_model": "lm"}.get(experiment.task.name, experiment.task.name))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_can_be_pointed_at_files_as_their_header_says(path):
    experiment = load_experiment(path, ["data.source=files", "data.source.train=a.tsv.gz", "data.source.test=b.tsv.gz"])
    assert experiment.data.source.train == ["a.tsv.gz"] or experiment.data.source.train == "a.tsv.gz"


@pytest.mark.slow
@pytest.mark.parametrize(
    "script, arguments, model, said",
    [
        ("sentiment.py", ["sentiment_sample", "--set", "training.epochs=1"], "sentiment_sample", "test accuracy"),
        (
            "language_model.py",
            ["lm_sample", "--set", "training.epochs=1", "--set", "data.source={name: sample, size: 2000, test: 500}"],
            "lm_sample",
            "test perplexity",
        ),
        (
            "quickstart.py",
            ["--set", "training.epochs=1", "--set", "data.source.size=2000", "--set", "data.source.test=500"],
            "lm_sample",
            "test perplexity",
        ),
        (
            "forecasting.py",
            ["forecasting_sample", "--set", "training.epochs=1", "--set", "data.source={name: sample, size: 4}"],
            "forecasting_sample",
            "test MAE",
        ),
        (
            "translation.py",
            [
                "translation_sample",
                "--set",
                "training.epochs=1",
                "--set",
                "data.source={name: sample, size: 2000, test: 300}",
            ],
            "translation_sample",
            "test BLEU",
        ),
    ],
)
def test_pipelines_run(tmp_path, script, arguments, model, said):
    if not arguments[0].startswith("--"):
        arguments = [str(ROOT / "configs" / f"{arguments[0]}.yaml"), *arguments[1:]]
    done = subprocess.run(
        [sys.executable, str(ROOT / "pipelines" / script), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "120"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "saved_models" / model / "1/saved_model.pb").exists()
    assert said in done.stdout


@pytest.mark.slow
def test_a_pretrained_encoder_is_fine_tuned_in_two_stages(tmp_path):
    config = {
        "task": {"name": "sentiment", "pooling": "first"},
        "data": {"source": {"name": "sample", "size": 120, "test": 40}},
        "text": {"tokenizer": "preset", "max_length": 12},
        "backbone": {"name": "preset", "init_from": str(write_bert(tmp_path / "bert"))},
        "training": {"epochs": 1, "tensorboard": False},
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(config))
    script = [str(ROOT / "pipelines" / "fine_tune.py"), "small.yaml", "--all-epochs", "1"]
    done = subprocess.run([sys.executable, *script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "head only: test accuracy" in done.stdout and "all layers: test accuracy" in done.stdout
    assert (tmp_path / "saved_models/small/1/saved_model.pb").exists()


@pytest.mark.slow
def test_a_slice_of_imdb(tmp_path, real_data):
    overrides = [
        "data.source=files",
        f"data.source.train={real_data}/imdb/train.tsv.gz",
        f"data.source.test={real_data}/imdb/test.tsv.gz",
        "data.limit=4000",
        f"data.cache={tmp_path / 'cache'}",
        "backbone.ngram_buckets=262144",
        "training.tensorboard=false",
    ]
    from nlp_suite.training.evaluate import evaluate
    from nlp_suite.training.train import train

    run = train(load_experiment(ROOT / "configs/sentiment_imdb_bag.yaml", overrides), tmp_path / "run")
    assert evaluate(run)["accuracy"] > 0.85
