"""A classifier of stock layers alone gives the network's numbers, in Keras 3, in Keras 2 and in TensorFlow.js."""

import json

import h5py
import keras
import numpy as np
import pytest

from nlp_suite.errors import ExportError
from nlp_suite.export import run_export
from nlp_suite.export.formats.keras_layers import checked_in_node, node_with_tfjs, write_tfjs
from nlp_suite.export.layers_model import layers_model
from nlp_suite.layers.sequence_pooling import POOLINGS
from nlp_suite.registry import BACKBONES
from nlp_suite.tasks.sentiment.head import head_of
from nlp_suite.tasks.sentiment.network import SentimentModel
from tests.export.conftest import SMALL, make_run

TOKENS = np.array([[4, 9, 2, 7, 5, 6], [8, 3, 0, 0, 0, 0], [5, 0, 0, 0, 0, 0]], "int32")


def network(backbone, pooling=POOLINGS):
    keras.utils.set_random_seed(1)
    settings = dict(backbone)
    model = SentimentModel(BACKBONES.get(settings.pop("name"))(30, **settings), classes=3, pooling=pooling, hidden=4)
    model.build((None, None))
    draw = np.random.default_rng(2)
    for variable in model.trainable_variables:
        variable.assign(draw.normal(0, 0.5, variable.shape))
    return model


def layers(backbone, pooling=POOLINGS):
    model = network(backbone, pooling)
    return model, layers_model(model, head_of(model, list("abc"), "single_label_classification"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis:UserWarning")  # of a text of one token
@pytest.mark.parametrize("name", ["lstm", "gru", "cnn", "bag"])
def test_every_pooling_is_exact_whatever_the_padding(name):
    model, plain = layers({**SMALL[name], **({"ngrams": 1} if name == "bag" else {})})
    expected = np.asarray(model(TOKENS))
    assert {type(part).__name__ for part in plain.operations if not isinstance(part, keras.Layer)} <= {
        "NotEqual"
    }  # a mask
    np.testing.assert_allclose(plain(TOKENS), expected, atol=1e-5)
    np.testing.assert_allclose(plain(TOKENS[2:, :1]), expected[2:], atol=1e-5)
    np.testing.assert_allclose(plain(np.pad(TOKENS, [(0, 0), (0, 5)])), expected, atol=1e-5)


@pytest.mark.slow
def test_what_layers_cannot_express_is_refused_by_name(tmp_path):
    with pytest.raises(ExportError, match="cannot express TransformerBackbone: take --format keras-plain, onnx"):
        layers(SMALL["transformer"])
    with pytest.raises(ExportError, match=r"cannot express backbone\.ngrams 2, only 1"):
        layers(SMALL["bag"])
    with pytest.raises(ExportError, match=r"cannot express backbone\.idf True, only False"):
        layers({**SMALL["bag"], "ngrams": 1, "idf": True})
    with pytest.raises(ExportError, match="no GRU with reset_after: train backbone lstm or rnn"):
        write_tfjs(layers(SMALL["gru"], ["max"])[1], tmp_path / "tfjs")
    with pytest.raises(ExportError, match=r"no Cropping1D, of task\.pooling first and last"):
        write_tfjs(layers(SMALL["cnn"], ["last"])[1], tmp_path / "tfjs")
    assert not (tmp_path / "tfjs").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis:UserWarning")
@pytest.mark.parametrize("name", ["lstm", "rnn", "cnn", "bag"])
def test_tensorflow_js_answers_as_the_network(name, tmp_path):
    if not node_with_tfjs():
        pytest.skip("Node with @tensorflow/tfjs was not found: set NODE_PATH to a node_modules that has it")
    settings, pooling = {**SMALL[name]}, ["max", "mean", "attention"]
    model, plain = layers({**settings, "ngrams": 1} if name == "bag" else settings, pooling)
    write_tfjs(plain, tmp_path / "tfjs")
    batches = (TOKENS, TOKENS[2:, :1], np.pad(TOKENS, [(0, 0), (0, 5)]))
    cases = [({"tokens": tokens}, {"logits": np.array(model(tokens))}) for tokens in batches]
    assert checked_in_node(tmp_path / "tfjs", cases)["self_check"]["rows"] == 7
    cases[0][1]["logits"][1, 0] += 0.001
    with pytest.raises(ExportError, match="TensorFlow.js answers otherwise: the logits differ by"):
        checked_in_node(tmp_path / "tfjs", cases)


@pytest.mark.slow
def test_files_of_keras_2_and_tensorflow_js_are_written_and_checked(tmp_path):
    pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    run = make_run(tmp_path, SMALL["lstm"], pooling=["max", "attention"])
    result = run_export(run, tmp_path / "m.h5", format="keras-layers")
    assert result.report["self_check"]["rows"] >= 6 and result.report["self_check"]["largest_difference"] < 1e-5
    with h5py.File(tmp_path / "m.h5") as archive:
        assert archive.attrs["keras_version"] == "2.15.0" and "DTypePolicy" not in archive.attrs["model_config"]
    result = run_export(run, tmp_path / "tfjs", format="keras-layers")
    assert "self_check" in result.report or "NODE_PATH" in result.report["unchecked"]
    model = json.loads((tmp_path / "tfjs" / "model.json").read_text("utf-8"))
    names = {weight["name"] for weight in model["weightsManifest"][0]["weights"]}
    assert any(name.endswith("/forward_lstm/recurrent_kernel") for name in names)
    assert len(json.loads((tmp_path / "tfjs" / "client" / "texts.json").read_text("utf-8"))) == 20
