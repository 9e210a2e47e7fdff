"""A classifier that starts from a pretrained folder: its tokens and weights, resumed, opened without it, exported."""

import json
import shutil

import keras
import numpy as np
import pytest
from rich.console import Console

from nlp_suite.cli.training import inspect, prepare
from nlp_suite.config import load_experiment
from nlp_suite.data.inspect import inspect_experiment
from nlp_suite.data.remarks import remarks_on_settings
from nlp_suite.errors import ConfigError
from nlp_suite.export.load import load
from nlp_suite.export.run_export import run_export
from nlp_suite.training.backbone_start import text_of_origin
from nlp_suite.training.checks import check_training
from nlp_suite.training.preset_start import PresetStart
from nlp_suite.training.run import make_task
from nlp_suite.training.train import train
from tests.pretrained.encoders import SPECIAL, write_bert
from tests.training.test_train import Killed, same, stop_after, weights

QUIET = Console(quiet=True)
TEXTS = ["A GREAT film .", "the plot was dull, but not the cast", "Films", "", "not bad and never dull " * 9]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small BERT whose special tokens are not the first of its vocabulary."""
    return write_bert(tmp_path_factory.mktemp("model") / "bert")


def chosen(folder, cache, *overrides, **backbone):
    values = {
        "task": {"name": "sentiment", "pooling": "first", "hidden": 4},
        "data": {"source": {"name": "sample", "size": 120, "test": 40}, "cache": str(cache)},
        "text": {"tokenizer": "preset", "max_length": 12},
        "backbone": {"name": "preset", "init_from": str(folder), **backbone},
        "training": {"epochs": 2, "batch_size": 32, "layer_rates": 0.8, "learning_rate": 0.01, "tensorboard": False},
    }
    return load_experiment(values, overrides)


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("preset")
    return train(chosen(folder, place / "cache"), place / "run", console=QUIET)


@pytest.mark.slow
def test_it_begins_with_the_models_weights_by_our_ids(folder, run, tmp_path):
    start = PresetStart(chosen(folder, tmp_path))
    model = make_task(run.experiment).model(run.experiment.backbone, run.assets)
    assert start.copy_to(model.backbone) == f"backbone: 37 arrays of {folder}"
    from safetensors.numpy import load_file

    theirs = load_file(folder / "model.safetensors")
    ours = keras.ops.convert_to_numpy(model.backbone.embedding.embeddings)
    vocabulary = (folder / "vocab.txt").read_text().split()
    for id, piece in enumerate(run.text.tokenizer.tokens):
        known = {"<pad>": "[PAD]", "<unk>": "[UNK]", "<s>": "[CLS]", "</s>": "[SEP]"}.get(piece, piece)
        row = theirs["embeddings.word_embeddings.weight"][vocabulary.index(known)]
        np.testing.assert_array_equal(ours[id], row)
    assert run.info["pretrained"] == {"from": str(folder), "licence": "mit"}
    tokens = run.text.id_to_token(run.text.encode(["A GREAT Films"])[0])
    assert tokens == ["<s>", "a", "great", "film", "##s", "</s>"]


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_with_the_same_weights(folder, tmp_path, monkeypatch):
    experiment = chosen(folder, tmp_path / "cache")
    whole = train(experiment, tmp_path / "whole", console=QUIET)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        stop_after(patch, 1)
        train(experiment, tmp_path / "stopped", console=QUIET)
    moved = tmp_path / "no longer there"
    folder.rename(moved)
    try:
        resumed = train(experiment, tmp_path / "stopped", console=QUIET)
    finally:
        moved.rename(folder)
    assert same(weights(whole), weights(resumed)) and same(weights(whole, "best"), weights(resumed, "best"))


@pytest.mark.slow
def test_it_is_opened_and_exported_without_the_folder(folder, run, tmp_path):
    moved = tmp_path / "moved"
    folder.rename(moved)
    try:
        expected = load(run.directory).predict(TEXTS)
        exported = run_export(run.directory, tmp_path / "saved")
        run_export(run.directory, tmp_path / "m.keras", format="keras")
    finally:
        moved.rename(folder)
    for answers in (load(exported.path).predict(TEXTS), load(tmp_path / "m.keras").predict(TEXTS)):
        for ours, theirs in zip(answers, expected, strict=True):
            assert abs(ours["probability"] - theirs["probability"]) < 1e-5
    card = (exported.path / "assets.extra" / "model_card.md").read_text()
    assert f"* **Weights began as:** {folder}, whose licence is mit" in card


def test_a_learning_rate_that_ruins_what_was_learned_is_said(folder, tmp_path):
    (said,) = remarks_on_settings(chosen(folder, tmp_path), ["neg", "pos"])
    assert said.startswith("training.learning_rate is 0.01, at which a pretrained backbone loses what it has learned")
    for override in (
        "training.learning_rate=1e-4",
        "backbone.freeze=all",
        "backbone.freeze=3",
        "training.optimizer=sgd",
    ):
        assert not remarks_on_settings(chosen(folder, tmp_path, override), ["neg", "pos"]), override
    assert inspect_experiment(chosen(folder, tmp_path))["remarks"][-1:] == [said]


@pytest.mark.slow
def test_another_classifier_begins_with_the_backbone_of_a_run(run, tmp_path):
    on = chosen(run.directory, tmp_path / "cache", "task.pooling=mean", "training.optimizer=sgd", freeze="all")
    theirs, ours = run.model("best").backbone, train(on, tmp_path / "on", console=QUIET).model().backbone
    assert same(*([keras.ops.convert_to_numpy(w) for w in b.weights] for b in (theirs, ours)))
    assert (
        load_experiment(tmp_path / "on" / "config.yaml").backbone.architecture == run.experiment.backbone.architecture
    )


def test_the_text_comes_with_the_weights(folder, tmp_path):
    experiment = chosen(folder, tmp_path)
    text = text_of_origin(experiment)
    assert (text.vocabulary_size, text.settings) == (40, experiment.text)
    assert text_of_origin(load_experiment({})) is None
    alone = load_experiment({"text": {"tokenizer": "preset"}, "data": {"cache": str(tmp_path / "cache")}})
    for check in (text_of_origin, lambda experiment: check_training(experiment, tmp_path / "run")):
        with pytest.raises(
            ConfigError, match=r"the vocabulary of a pretrained model, and backbone\.init_from names none"
        ):
            check(alone)


@pytest.mark.slow
def test_what_was_prepared_is_what_inspect_and_training_read(folder, tmp_path, capsys):
    config, experiment = tmp_path / "c.yaml", chosen(folder, tmp_path / "cache", "training.epochs=1")
    config.write_text(experiment.to_yaml())
    prepare(str(config))
    capsys.readouterr()
    inspect(str(config), as_json=True)
    assert json.loads(capsys.readouterr().out)["tokens"]["train"]["max_length"] == 12
    prepared = sorted((tmp_path / "cache").iterdir())
    train(experiment, tmp_path / "run", console=QUIET)
    assert sorted((tmp_path / "cache").iterdir()) == prepared and len(prepared) == 1


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["text.tokenizer=word"], r"text.tokenizer is word, under which the embeddings of .* give text.tokenizer: preset"),
        (["backbone.architecture.layer_norm_eps=0.5"], r"is not that of .*bert \(there → here\): layer_norm_eps: 0.01 → 0.5"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_the_training(folder, tmp_path, overrides, message):
    if any("architecture" in override for override in overrides):
        resolved = chosen(folder, tmp_path).model_dump(mode="json")
        experiment = load_experiment(resolved, overrides)
    else:
        experiment = chosen(folder, tmp_path, *overrides)
    with pytest.raises(ConfigError, match=message):
        check_training(experiment, tmp_path / "run")


def test_a_pretrained_folder_is_for_a_preset(folder, tmp_path):
    values = chosen(folder, tmp_path).model_dump(mode="json", exclude={"backbone", "text"})
    experiment = load_experiment({**values, "backbone": {"name": "lstm", "init_from": str(folder)}})
    with pytest.raises(
        ConfigError, match=r"bert is the folder of a pretrained model, which is for the backbone preset, not lstm"
    ):
        check_training(experiment, tmp_path / "run")


def test_a_folder_that_is_not_whole_is_refused_before_the_training(folder, tmp_path):
    spoilt = shutil.copytree(folder, tmp_path / "spoilt")
    (spoilt / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"there are no weights: model.safetensors or"):
        check_training(chosen(spoilt, tmp_path), tmp_path / "run")
    shutil.copy(folder / "model.safetensors", spoilt)
    (spoilt / "vocab.txt").write_text("\n".join(f"{SPECIAL.get(i) or f'piece{i}'}" for i in range(41)) + "\n")
    with pytest.raises(ConfigError, match=r"41 .* 40"):
        check_training(chosen(spoilt, tmp_path), tmp_path / "run")
