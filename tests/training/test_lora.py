"""A classifier trained by low-rank updates of a pretrained encoder: what changes, what is written, resumed, exported, begun from."""

import keras
import numpy as np
import pytest

from nlp_suite.backbones.preset import UPDATED
from nlp_suite.config import load_experiment
from nlp_suite.errors import ConfigError
from nlp_suite.export.formats.keras_plain import plain_model
from nlp_suite.export.load import load
from nlp_suite.export.run_export import run_export
from nlp_suite.layers.lora import updated_layers
from nlp_suite.training.backbone_start import BackboneStart
from nlp_suite.training.frozen import FROZEN
from nlp_suite.training.preset_start import PresetStart
from nlp_suite.training.run import load_weights, make_task
from nlp_suite.training.train import train
from tests.pretrained.encoders import write_bert
from tests.training.test_preset_start import QUIET, TEXTS, chosen
from tests.training.test_train import Killed, same, stop_after, weights

RANK = 3
AVERAGED = ("training.average_checkpoints=2", "training.ema=0.5")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_bert(tmp_path_factory.mktemp("model") / "bert")


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("lora")
    return train(chosen(folder, place / "cache", *AVERAGED, lora_rank=RANK), place / "run", console=QUIET)


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
def test_a_run_that_was_stopped_ends_with_the_same_weights(folder, run, tmp_path, monkeypatch):
    experiment = chosen(folder, run.experiment.data.cache, *AVERAGED, lora_rank=RANK)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        stop_after(patch, 1)
        train(experiment, tmp_path / "stopped", console=QUIET)
    resumed = train(experiment, tmp_path / "stopped", console=QUIET)
    for checkpoint in ("best", "last", "average"):
        ours, theirs = ([keras.ops.convert_to_numpy(w) for w in apart(r, checkpoint).weights] for r in (resumed, run))
        assert same(ours, theirs)


@pytest.mark.slow
def test_every_format_has_plain_kernels_and_the_same_answers(run, tmp_path):
    exported = load(run_export(run.directory, tmp_path / "saved").path).predict(TEXTS)
    for ours, theirs in zip(exported, load(run.directory).predict(TEXTS), strict=True):
        assert abs(ours["probability"] - theirs["probability"]) < 1e-5
    tokens, model = run.text.pad(run.text.encode(TEXTS)), run.model()
    expected = keras.ops.convert_to_numpy(apart(run, "average")(tokens))
    for name, made in (("keras", model), ("keras-plain", plain_model(model))):
        made.save(tmp_path / f"{name}.keras")
        opened = keras.saving.load_model(tmp_path / f"{name}.keras")
        np.testing.assert_allclose(keras.ops.convert_to_numpy(opened(tokens)), expected, atol=1e-5)
        assert not updated_layers(opened) and len(opened.weights) == len(model.weights)
    assert model.backbone.settings["lora_rank"] is None


@pytest.mark.slow
def test_other_runs_begin_from_it(run, tmp_path):
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
    values["backbone"] |= {"init_from": str(run.directory), "lora_rank": None, "lora_alpha": None, "freeze": "all"}
    values["training"] |= {"init_from": None}
    head = make_task(run.experiment).model(load_experiment(values).backbone, run.assets).backbone
    BackboneStart(run, load_experiment(values)).copy_to(head)
    assert same(*([keras.ops.convert_to_numpy(w) for w in b.weights] for b in (head, run.model().backbone)))


@pytest.mark.parametrize(
    "backbone, message",
    [
        ({"lora_rank": 17}, r"lora_rank 17: the model has 16 features; give a lower one"),
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
