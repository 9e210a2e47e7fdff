"""A classifier that starts from a trained language model: its weights are copied, its own lengths kept, misfits named."""

import keras
import numpy as np
import pytest
import yaml
from rich.console import Console

from nlp_suite.errors import ConfigError, DamagedFileError, RunError
from nlp_suite.export.load import load
from nlp_suite.training import state as state_module
from nlp_suite.training import train as train_module
from nlp_suite.training.run import Run, make_task
from nlp_suite.training.train import train
from tests.language_models import experiment

QUIET = Console(quiet=True)
REVIEWS = [f"{'the old cat sings' if i % 2 else 'no dog sleeps'} in film {i % 5}" for i in range(30)]
RNN = {"name": "rnn", "embedding_size": 6, "units": 5, "layer_norm": True}
CLASSIFIER = {**RNN, "bidirectional": False}
TRANSFORMER = {
    "name": "transformer",
    "positions": "rotary",
    "embedding_size": 8,
    "layers": 1,
    "heads": 2,
    "feed_forward": 8,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same texts with labels and without."""
    folder = tmp_path_factory.mktemp("reviews")
    (folder / "text.txt").write_text("\n".join(REVIEWS) + "\n")
    rows = [f"{'good' if i % 2 else 'bad'}\t{text}" for i, text in enumerate(REVIEWS)]
    (folder / "train.tsv").write_text("label\ttext\n" + "\n".join(rows) + "\n")
    return folder


def pretrain(files, backbone, **task):
    text = {"max_length": 300, "lowercase": True}
    training = {"epochs": 1, "batch_size": 8, "learning_rate": 0.1}
    source = {"documents": "line"}
    chosen = experiment(files, backbone, text=text, training=training, source=source, **task)
    return train(chosen, files / "_".join(["lm", backbone["name"], *task]), console=QUIET)


@pytest.fixture(scope="module")
def origin(files):
    return pretrain(files, RNN)


def classifier(files, origin, *overrides, backbone=CLASSIFIER, **training):
    from nlp_suite.config import load_experiment

    return load_experiment(
        {
            "task": {"name": "sentiment", "pooling": ["mean"], "dropout": 0.0},
            "data": {"source": {"name": "files", "train": str(files / "train.tsv")}, "cache": str(files / "cache")},
            "text": {
                "tokenizer": {"name": "word", "min_count": 1},
                "max_length": 12,
                "strip_html": False,
            },
            "backbone": {**backbone, "init_from": str(origin)},
            "training": {"epochs": 1, "batch_size": 16, "buckets": 1, "tensorboard": False, **training},
        },
        overrides,
    )


def test_embeddings_and_backbone_are_the_language_models_at_the_start(files, origin, tmp_path):
    still = {"optimizer": "sgd", "learning_rate": 1e-12}
    rates = ("backbone.dropout=0.3", "backbone.weight_drop=0.2", "backbone.type_dropout=0.1")  # the classifier's own
    run = train(classifier(files, origin.directory, *rates, **still), tmp_path / "run", console=QUIET)
    theirs, ours = origin.model("best").backbone, run.model("last").backbone
    assert len(ours.weights) == len(theirs.weights) == 6
    for weight, expected in zip(ours.weights, theirs.weights):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), keras.ops.convert_to_numpy(expected), atol=1e-9)
    assert ours.settings["weight_drop"] == 0.2 and theirs.settings["weight_drop"] == 0
    fresh = make_task(run.experiment).model(run.experiment.backbone, run.assets)
    assert np.abs(keras.ops.convert_to_numpy(fresh.backbone.weights[0] - ours.weights[0])).max() > 1e-3
    assert run.labels == ["bad", "good"]
    assert run.text.tokenizer.tokens == origin.text.tokenizer.tokens
    assert run.text.settings.max_length == 12 and origin.text.settings.max_length == 300
    assert not run.text.settings.add_end and origin.text.settings.add_end
    assert max(run.stores()["train"].lengths) <= 12


def test_it_trains_on_and_is_resumed_and_opened_without_copying_again(files, origin, tmp_path, monkeypatch):
    chosen = classifier(files, origin.directory, epochs=2, learning_rate=0.05, layer_rates=0.4)
    whole = train(chosen, tmp_path / "whole", console=QUIET)
    save = state_module.TrainingState.on_epoch_end

    class Killed(BaseException):
        pass

    def save_and_end(self, epoch, logs=None):
        save(self, epoch, logs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(state_module.TrainingState, "on_epoch_end", save_and_end)
        with pytest.raises(Killed):
            train(chosen, tmp_path / "stopped", console=QUIET)
    resumed = train(chosen, tmp_path / "stopped", console=QUIET)
    pairs = list(zip(whole.model("last").weights, resumed.model("last").weights))
    assert all(np.array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b)) for a, b in pairs)
    moved = [keras.ops.convert_to_numpy(w) for w in whole.model("last").backbone.weights]
    start = [keras.ops.convert_to_numpy(w) for w in origin.model("best").backbone.weights]
    assert all(np.abs(a - b).max() > 0 for a, b in zip(moved, start))
    assert load(tmp_path / "whole").predict("the old cat sings")["label"] in ("bad", "good")


@pytest.mark.parametrize(
    "override, message",
    [
        ("text.lowercase=false", "text.lowercase: True → False"),
        ("text.strip_html=true", "text.strip_html: False → True"),
        ("text.tokenizer.min_count=2", "'min_count': 1.* → .*'min_count': 2"),
        ("text.tokenizer=byte", "its vocabulary does not match(.|\n)*text.tokenizer: "),
        ("backbone.units=6", r"is another network \(there → here\): units: 5 → 6"),
        ("backbone.layers=3", r"there → here\): layers: 1 → 3"),
        ("backbone.bidirectional=true", r"bidirectional: False → True"),
        ("backbone.activation=relu", r"activation: tanh → relu"),
        ("backbone.residual=true", r"residual: False → True"),
    ],
)
def test_what_differs_is_named_before_data_are_prepared(files, origin, tmp_path, override, message, monkeypatch):
    monkeypatch.setattr(train_module, "prepare", None)
    with pytest.raises(ConfigError, match=rf"backbone.init_from: (.|\n)*{message}") as caught:
        train(classifier(files, origin.directory, override), tmp_path / "run", console=QUIET)
    assert "lm_rnn" in str(caught.value)
    assert not (tmp_path / "run").exists(), "the mended command can use the folder"


def test_another_backbone_is_refused(files, origin, tmp_path, monkeypatch):
    monkeypatch.setattr(train_module, "prepare", None)
    gru = {"name": "gru", "embedding_size": 6, "units": 5, "bidirectional": False}
    with pytest.raises(ConfigError, match="lm_rnn has the backbone rnn, not gru"):
        train(classifier(files, origin.directory, backbone=gru), tmp_path / "run", console=QUIET)


def test_a_table_of_other_positions_is_refused(files, tmp_path):
    learned = {**TRANSFORMER, "positions": "learned"}
    origin = pretrain(files, learned, max_prompt=6, max_generated=6)
    with pytest.raises(ConfigError, match=r"is another network \(there → here\): max_length: 12 → 512"):
        train(classifier(files, origin.directory, backbone=learned), tmp_path / "run", console=QUIET)


def test_a_path_that_is_no_run_is_named(files, tmp_path):
    with pytest.raises(RunError, match="'nowhere' is not a run folder"):
        train(classifier(files, "nowhere"), tmp_path / "run", console=QUIET)


def test_a_run_without_a_checkpoint_is_named(files, origin, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("run.json", "config.yaml"):
        (broken / name).write_text((origin.directory / name).read_text())
    (broken / "text").mkdir()
    for file in (origin.directory / "text").iterdir():
        (broken / "text" / file.name).write_bytes(file.read_bytes())
    assert Run(broken).labels == []
    with pytest.raises(DamagedFileError, match=r"best.weights.h5 is missing, though run.json lists it: restore it"):
        train(classifier(files, broken), tmp_path / "run", console=QUIET)


def test_a_transformer_reads_both_ways_from_a_causal_start(files, tmp_path):
    origin = pretrain(files, TRANSFORMER)
    chosen = classifier(files, origin.directory, backbone=TRANSFORMER, optimizer="sgd", learning_rate=1e-12)
    assert not chosen.backbone.causal and origin.experiment.backbone.causal
    run = train(chosen, tmp_path / "run", console=QUIET)
    for weight, expected in zip(run.model("last").backbone.weights, origin.model("best").backbone.weights):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), keras.ops.convert_to_numpy(expected), atol=1e-9)
    other = classifier(files, origin.directory, "backbone.heads=4", backbone=TRANSFORMER)
    with pytest.raises(ConfigError, match="heads: 2 → 4"):
        train(other, tmp_path / "other", console=QUIET)


def test_the_config_names_where_it_started(files, origin, tmp_path):
    chosen = classifier(files, origin.directory)
    assert yaml.safe_load(chosen.to_yaml())["backbone"]["init_from"] == str(origin.directory)
    assert "init_from" not in chosen.backbone.arguments()
