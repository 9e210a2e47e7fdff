"""What other programs run of a network: stock Keras alone answers, part by part, as the network does."""

import re

import keras
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from nlp_suite.config import load_experiment
from nlp_suite.errors import ExportError
from nlp_suite.export import fresh_process, run_export
from nlp_suite.export.load import load
from nlp_suite.export.parts import flat, open_sizes, unflat
from nlp_suite.export.plain_model import plain_model
from nlp_suite.registry import BACKBONES
from nlp_suite.tasks.forecasting.network import ForecastModel
from nlp_suite.tasks.forecasting.parts import parts as forecasting_parts
from nlp_suite.tasks.language_model.parts import parts as language_parts
from nlp_suite.tasks.translation.parts import parts as translation_parts
from nlp_suite.training.run import Run
from tests import language_models, translation_models

DRAW = np.random.default_rng(0)
TOKENS = DRAW.integers(4, 40, (3, 8)).astype("int32")
DECODERS = {
    "between": {"conditional": True, "readout": "deep", "attention": {"name": "luong", "score": "concat"}},
    "above": {"attention": {"name": "scaled_dot", "heads": 2}, "layers": 2, "bridge": "zero", "input_feeding": False},
}


def check(model, parts, given, folder):
    """Every part, saved and loaded again, gives the network's numbers; returns its functional models."""
    found = {}
    for part in parts:
        plain_model(model, part).save(folder / "part.keras")
        found[part.name] = plain = keras.saving.load_model(folder / "part.keras")
        cases = part.cases(given)
        assert len({len(next(iter(inputs.values()))) for inputs, _ in cases}) > 1  # batches of several sizes
        for inputs, expected in cases:
            outputs = plain(inputs if len(inputs) > 1 else next(iter(inputs.values())))
            outputs = outputs if isinstance(outputs, dict) else {next(iter(expected)): outputs}
            assert set(outputs) == set(expected)
            for name, wanted in expected.items():
                np.testing.assert_allclose(outputs[name], wanted, rtol=1e-5, atol=1e-5, err_msg=f"{part.name} {name}")
    return found


@pytest.mark.parametrize(
    "backbone, task",
    [
        ("lstm", {}),
        pytest.param("gru", {"softmax": "adaptive", "cutoffs": [10], "tie_embeddings": False}, marks=pytest.mark.slow),
        pytest.param("transformer-rotary", {}, marks=pytest.mark.slow),
    ],
)
def test_a_language_model_is_its_logits_and_a_step(backbone, task, tmp_path):
    model = language_models.network(backbone, **task)
    found = check(model, language_parts(model), TOKENS, tmp_path)
    whole, step = found[""](TOKENS), language_parts(model)[1]
    state = {
        name: np.zeros((3, *map(int, sizes)), dtype) for name, (sizes, dtype) in step.inputs.items() if name != "token"
    }
    for place, token in enumerate(TOKENS.T):  # states that begin as zeros, as it is said
        after = found["step"]({"token": token, **state})
        np.testing.assert_allclose(after["logits"], whole[:, place], rtol=1e-4, atol=1e-4)
        state = {read: np.asarray(after[written]) for written, read in step.carried.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gru", "transformer", *DECODERS])
def test_a_translation_model_is_an_encoder_and_a_step(name, tmp_path, monkeypatch):
    decoders = {
        key: ({"name": "gru", "units": 6}, {"name": "gru", "units": 8, **more}) for key, more in DECODERS.items()
    }
    for key, network in decoders.items():
        monkeypatch.setitem(translation_models.NETWORKS, key, network)
    text, target_text = translation_models.text_layers()
    model = translation_models.network(name, text, target_text)
    source = text.pad(text.encode([source for source, _ in translation_models.PAIRS]))
    given = {"source": source, "target_in": DRAW.integers(3, 12, (len(source), 5)).astype("int32")}
    check(model, translation_parts(model), given, tmp_path)


@pytest.mark.slow
def test_a_forecasting_model_is_one_part_in_the_users_units(tmp_path):
    more = {"output": "student_t", "scaling": "minmax", "scale_over": "training"}
    chosen = load_experiment(
        {
            "task": {
                "name": "forecasting",
                "horizon": 4,
                "context": 9,
                "difference": "last",
                "calendar": ["month"],
                **more,
            },
            "backbone": {"name": "gru", "embedding_size": 4},
        }
    )
    backbone = BACKBONES.get("gru")(vocabulary_size=None, **chosen.backbone.arguments())
    task = chosen.task.model_dump(exclude={"name", "context"})
    model = ForecastModel(backbone, 9, task, season=3, covariates={"future": 2})
    model.build()
    shapes = {"values": (9,), "mask": (9,), "future": (13, 2), "calendar": (13, 1)}
    given = {name: DRAW.uniform(1, 100, (3, *shape)).astype("float32") for name, shape in shapes.items()}
    given |= {"mask": np.ones((3, 9), "float32")}
    given["future"][0, 2] = np.nan
    check(model, forecasting_parts(model, shapes, width=1.5), given, tmp_path)


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e3])
def test_a_forecast_is_compared_on_the_scale_of_the_values_in_any_unit(unit, tmp_path, monkeypatch):
    arrays = {"0/0/values": [[90, -20], [1, 2]], "0/1/quantiles": [[[0.01, 60]], [[0.01, 1]]]}
    np.savez(tmp_path / "a.npz", **{name: unit * np.array(rows) for name, rows in arrays.items()})
    job = {"kind": "parts", "runtime": "onnx", "tolerance": 1e-5, "forbidden": [], "sys_path": []}
    job["files"] = [{"path": "a.onnx", "arrays": str(tmp_path / "a.npz"), "cases": 1}]

    def check(first, second):  # off by so much of the largest value of each row, in the quantile that is nearly 0
        off = unit * np.array([[[90 * first, 0]], [[2 * second, 0]]])
        answer = {"quantiles": unit * np.array(arrays["0/1/quantiles"]) + off}
        monkeypatch.setattr(fresh_process, "_open_onnx", lambda np, path: lambda inputs: answer)
        return fresh_process.main(job)["largest_difference"]

    assert check(8e-6, 3e-6) == pytest.approx(8e-6)
    for wrong in ((2e-5, 0), (0, 2e-5)):
        with pytest.raises(AssertionError, match="'quantiles': differs by 2e-05, allowed 1e-05"):
            check(*wrong)


def test_the_tensors_of_a_tree_are_named_by_the_way_to_them():
    tree = {"position": 1, "blocks": [{"key": 2}, {"key": 3}]}
    named = flat(tree, "state")
    assert named == {"state_position": 1, "state_blocks_0_key": 2, "state_blocks_1_key": 3}
    assert unflat(tree, "state", named) == tree
    small, large = ({"x": np.zeros((rows, rows, 4, 0), "int32")} for rows in (1, 2))
    assert open_sizes(small, large) == {"x": ([None, 4, None], "int32")}


@pytest.mark.slow
def test_safetensors_hold_the_weights_under_keras_paths(tmp_path):
    run = language_models.make_run(tmp_path / "run", "rnn")
    result = run_export(run, tmp_path / "m.safetensors", format="safetensors")
    arrays = load_file(result.path)
    assert {name.split("/")[0] for name in arrays} == {"language_model"}
    weights = {re.sub(r"_\d+(?=/)", "", weight.path): weight for weight in Run(run).model().weights}
    assert set(arrays) == set(weights)  # whose layers are all of different classes
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, weights[name])
    with safe_open(result.path, "np") as file:
        assert "language_model" in file.metadata()["config"]
    with pytest.raises(ExportError, match=r"ends in \.safetensors"):
        run_export(run, tmp_path / "m.bin", format="safetensors")


@pytest.mark.slow
def test_the_parts_of_a_run_are_files_that_are_proved_in_a_fresh_process(tmp_path):
    run = language_models.make_run(tmp_path / "run", "rnn")
    result = run_export(run, tmp_path / "out" / "m.keras", format="keras-plain")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["m.keras", "m.step.keras"]
    assert result.report["self_check"]["largest_difference"] < 1e-5 and "m.step.keras: logits" in result.describe()
    with pytest.raises(
        ExportError, match=r"m.step.keras' is a part of a network \(step\) for programs without nlp_suite"
    ):
        load(tmp_path / "out" / "m.step.keras")


@pytest.mark.slow
def test_a_plain_file_is_exported_again_by_keras_itself(tmp_path):
    model = language_models.network("transformer-sinusoidal")  # whose frequencies are a constant
    step = language_parts(model)[1]
    plain_model(model, step).save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    loaded.export(tmp_path / "again", verbose=False)
    ((inputs, expected), *_) = step.cases(TOKENS)
    again = keras.layers.TFSMLayer(tmp_path / "again", call_endpoint="serve")(inputs)
    for name, wanted in expected.items():
        np.testing.assert_allclose(again[name], wanted, rtol=1e-5, atol=1e-5)
