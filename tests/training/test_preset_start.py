"""A classifier that starts from a pretrained folder: its tokens and weights, resumed, opened without it, exported.

Most of what is proved is proved of one that is trained by low-rank updates: what changes, what is written, what others begin from.
"""

import json
import shutil

import keras
import numpy as np
import pytest
from rich.console import Console

import nlp_suite
from nlp_suite.backbones.preset import UPDATED
from nlp_suite.cli.training import inspect, prepare
from nlp_suite.config import load_experiment
from nlp_suite.data.inspect import inspect_experiment
from nlp_suite.data.remarks import remarks_on_settings
from nlp_suite.errors import ConfigError
from nlp_suite.export.load import load
from nlp_suite.export.plain_model import plain_model
from nlp_suite.export.run_export import run_export
from nlp_suite.layers.lora import updated_layers
from nlp_suite.training.backbone_start import text_of_origin
from nlp_suite.training.checks import check_training
from nlp_suite.training.frozen import FROZEN
from nlp_suite.training.preset_start import PresetStart
from nlp_suite.training.run import load_weights, make_task
from nlp_suite.training.train import train
from tests.pretrained.encoders import SPECIAL, write_bert
from tests.training.test_train import Killed, same, stop_after, weights

QUIET = Console(quiet=True)
RANK = 3
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


def updated(folder, cache):
    """The experiment with low-rank updates, and all averages."""
    return chosen(folder, cache, "training.average_checkpoints=2", "training.ema=0.5", lora_rank=RANK)


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("preset")
    return train(updated(folder, place / "cache"), place / "run", console=QUIET)


def arrays_of(backbone):
    """The weights by module, and their number in it."""
    modules = backbone.modules().items()
    return {(m, i): keras.ops.convert_to_numpy(w) for m, layer in modules for i, w in enumerate(layer.weights)}


def apart(run, checkpoint):
    """The network with its updates apart."""
    model = make_task(run.experiment).model(run.experiment.backbone, run.assets)
    load_weights(model, run.weights(checkpoint))
    return model


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
def test_a_run_that_was_stopped_ends_with_the_same_weights(folder, run, tmp_path, monkeypatch):
    experiment = updated(folder, run.experiment.data.cache)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        stop_after(patch, 1)
        train(experiment, tmp_path / "stopped", console=QUIET)
    moved = tmp_path / "no longer there"
    folder.rename(moved)
    try:
        resumed = train(experiment, tmp_path / "stopped", console=QUIET)
    finally:
        moved.rename(folder)
    for checkpoint in ("best", "last", "average"):
        ours, theirs = ([keras.ops.convert_to_numpy(w) for w in apart(r, checkpoint).weights] for r in (resumed, run))
        assert same(ours, theirs)


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
        "backbone.lora_rank=3",
        "training.optimizer=sgd",
    ):
        assert not remarks_on_settings(chosen(folder, tmp_path, override), ["neg", "pos"]), override
    assert inspect_experiment(chosen(folder, tmp_path))["remarks"][-1:] == [said]


@pytest.mark.slow
def test_another_classifier_begins_with_the_backbone_of_a_run(run, tmp_path):
    changes = ("task.pooling=mean", "training.optimizer=sgd", "training.features=cached")
    on = chosen(run.directory, tmp_path / "cache", *changes, freeze="all")
    theirs, ours = run.model().backbone, train(on, tmp_path / "on", console=QUIET).model().backbone
    assert same(*([keras.ops.convert_to_numpy(w) for w in b.weights] for b in (theirs, ours)))
    assert (
        load_experiment(tmp_path / "on" / "config.yaml").backbone.architecture == run.experiment.backbone.architecture
    )


@pytest.mark.slow
def test_kernels_change_by_the_rank_and_nothing_else_of_the_model_does(folder, run, tmp_path):
    before = make_task(run.experiment).model(run.experiment.backbone, run.assets).backbone
    PresetStart(chosen(folder, tmp_path, lora_rank=RANK)).copy_to(before)
    before.merge_updates()
    theirs = arrays_of(before)
    for checkpoint in ("best", "last", "average"):
        ours, changed = arrays_of(run.model(checkpoint).backbone), 0
        for (module, number), array in ours.items():
            difference = array - theirs[module, number]
            if module.split()[-1] in UPDATED and number == 0:
                inner = 2 if module.endswith("output") else 1  # axes
                matrix = difference.reshape(int(np.prod(array.shape[:inner])), -1)
                assert np.linalg.matrix_rank(matrix, tol=1e-6) == RANK
                changed += 1
            else:
                assert not difference.any(), module
        assert changed == 6 * 2


@pytest.mark.slow
def test_merged_it_answers_as_apart(run):
    tokens = run.text.pad(run.text.encode(TEXTS))
    for checkpoint in ("best", "average"):
        model = apart(run, checkpoint)
        assert len(updated_layers(model)) == 12 and not updated_layers(run.model(checkpoint))
        expected, merged = (keras.ops.convert_to_numpy(m(tokens)) for m in (model, run.model(checkpoint)))
        np.testing.assert_allclose(merged, expected, atol=1e-5)


@pytest.mark.slow
def test_a_member_of_an_ensemble_answers_as_it_does_alone(run, tmp_path):
    other = shutil.copytree(run.directory, tmp_path / "other")
    both = nlp_suite.ensemble([run.directory, other], tmp_path / "both", weights="equal")
    expected = load(run.directory).probabilities(TEXTS)
    for member in load(both.directory).members:
        np.testing.assert_allclose(member.probabilities(TEXTS), expected, atol=1e-6)
    assert both.info["pretrained"] == run.info["pretrained"]


@pytest.mark.slow
def test_files_of_keras_have_plain_kernels(run, tmp_path):
    tokens, model = run.text.pad(run.text.encode(TEXTS)), run.model()
    expected = keras.ops.convert_to_numpy(apart(run, "average")(tokens))
    for name, made in (("keras", model), ("keras-plain", plain_model(model))):
        made.save(tmp_path / f"{name}.keras")
        opened = keras.saving.load_model(tmp_path / f"{name}.keras")
        np.testing.assert_allclose(keras.ops.convert_to_numpy(opened(tokens)), expected, atol=1e-5)
        assert not updated_layers(opened) and len(opened.weights) == len(model.weights)
    assert model.backbone.settings["lora_rank"] is None


@pytest.mark.slow
def test_checkpoints_and_state_have_the_updates_and_the_head_only(run):
    import h5py

    model = apart(run, "last")
    trained = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    total = model.count_params()
    sizes = {}
    for name in (FROZEN, *(f"checkpoints/{c}.weights.h5" for c in ("best", "last", "average", "round-00001"))):
        with h5py.File(run.directory / name) as file:
            sizes[name] = sum(array.size for array in file.values())
    assert sizes.pop(FROZEN) == total - trained and set(sizes.values()) == {trained}
    with np.load(run.directory / "checkpoints" / "state.npz") as state:
        arrays = [state[name] for name in state if name != "meta"]
    assert 4 * trained <= sum(array.size for array in arrays) < 4 * trained + 100  # Adam's two and the average; seeds
    groups = [sum(int(np.prod(v.shape)) for v in group) for group in model.layer_groups()]
    assert groups[0] == 0 and groups[1] == groups[2] > 0 and sum(groups) == trained


@pytest.mark.slow
def test_other_updates_begin_from_a_run(run, tmp_path):
    values = run.experiment.model_dump(mode="json")
    values["backbone"] |= {"init_from": None, "lora_rank": RANK - 1, "lora_alpha": 4.0, "freeze": 2}
    values["training"] |= {"init_from": str(run.directory), "epochs": 1, "optimizer": "sgd", "learning_rate": 1e-9}
    values["training"] |= {"average_checkpoints": None, "ema": None}
    on = train(load_experiment(values), tmp_path / "on", console=QUIET)
    model = apart(on, "last")
    factors = [layer.update_factor for layer in updated_layers(model)]
    assert factors == [4.0 / (RANK - 1)] * 6  # of the upper block alone
    assert not [v for group in model.layer_groups()[:2] for v in group]
    for one, other in zip(weights(on), weights(run, "average"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    "backbone, message",
    [
        ({"lora_rank": 17}, r"lora_rank 17: the narrowest layer of a block has 16 units; give a lower one"),
        ({"lora_alpha": 8}, r"lora_alpha is the factor of low-rank updates, and there are none: give lora_rank, too"),
        ({"lora_rank": 2, "freeze": "all"}, r"freeze: all leaves no block for the updates of lora_rank"),
        ({"lora_rank": 2, "freeze": 3}, r"freeze: 3 leaves no block for the updates of lora_rank"),
        ({"lora_rank": 0}, r"lora_rank: Input should be greater than or equal to 1, got 0"),
        ({"name": "lstm", "init_from": None, "lora_rank": 2}, r"unknown key 'lora_rank'.*; lora_rank is for the backbone preset"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_when_the_config_is_read(folder, tmp_path, backbone, message):
    with pytest.raises(ConfigError, match=message):
        chosen(folder, tmp_path, **backbone)


def test_a_config_from_before_has_no_updates(folder, tmp_path):
    resolved = chosen(folder, tmp_path).model_dump(mode="json")
    for key in ("lora_rank", "lora_alpha"):
        assert resolved["backbone"].pop(key) is None
    assert load_experiment(resolved) == chosen(folder, tmp_path)


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
    assert json.loads(capsys.readouterr().out)["tokens"]["train"]["length"]["max"] == 12
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
