"""ONNX files answer in onnxruntime as the networks do, and hold what a client in another language needs."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

import nlp_suite
from nlp_suite.config import load_experiment
from nlp_suite.errors import ExportError
from nlp_suite.export import run_export
from nlp_suite.export.formats.onnx_graph import write_onnx
from nlp_suite.export.load import load
from nlp_suite.export.parts import network_part
from nlp_suite.export.plain_model import plain_model
from nlp_suite.text.text_layer import TextLayer
from nlp_suite.training.run import Run
from nlp_suite.training.train import train
from tests import language_models, translation_models
from tests.export.conftest import SMALL, make_run
from tests.export.test_keras_layers import TOKENS, network


@pytest.fixture(scope="module")
def client():
    """The functions of pipelines/onnx_client.py."""
    for package in ("onnxruntime", "onnx", "tf2onnx"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    return runpy.run_path(str(Path(__file__).parents[2] / "pipelines" / "onnx_client.py"), run_name="client")


@pytest.mark.slow
def test_a_classifier_has_one_input_and_answers_as_python(client, tmp_path):
    run = make_run(tmp_path, SMALL["transformer"])  # whose frequencies of positions are a constant
    folder = tmp_path / "onnx"
    result = run_export(run, folder, format="onnx", opset=15)
    (tokens,) = client["Model"](folder, "model.onnx").session.get_inputs()
    assert tokens.name == "tokens" and tokens.shape == ["batch", "tokens_1"] and "opset 15" in result.describe()
    texts = json.loads((folder / "client" / "texts.json").read_text("utf-8"))
    assert len(texts) == len({row["text"] for row in texts}) == 20
    layer = TextLayer.load(folder / "client" / "text")
    assert [row["ids"] for row in texts] == [ids.tolist() for ids in layer.encode([row["text"] for row in texts])]
    words = json.loads((folder / "client" / "vocabulary.json").read_text("utf-8"))
    assert words == layer.id_to_token(range(layer.vocabulary_size))
    python = load(run).probabilities([row["text"] for row in texts[:6]])
    assert [client["answer"](folder, row["ids"])[0] for row in texts[:6]] == python.argmax(1).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name, operator", [("lstm", "LSTM"), ("gru", "GRU"), ("rnn", "RNN")])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_recurrent_layers_are_operators_of_onnx(client, tmp_path, name, operator, bidirectional):
    onnx, onnxruntime = (pytest.importorskip(package) for package in ("onnx", "onnxruntime"))
    backbone = {"name": name, "embedding_size": 4, "units": 4, "layers": 2, "residual": True}
    model = network({**backbone, "bidirectional": bidirectional})
    write_onnx(plain_model(model), network_part(model), ["logits"], tmp_path / "m.onnx", 13)
    operators = [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node]
    assert operators.count(operator) == 2 and "Loop" not in operators
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    for tokens in (TOKENS, np.pad(TOKENS, [(0, 0), (0, 5)]), TOKENS[2:, :1]):
        np.testing.assert_allclose(session.run(None, {"tokens": tokens})[0], model(tokens), atol=1e-5)
    silu = network(
        {**backbone, "layers": 1, "bidirectional": bidirectional, "activation": "silu"}
    )  # which no operator has
    write_onnx(plain_model(silu), network_part(silu), ["logits"], tmp_path / "silu.onnx", 13)
    answers = onnxruntime.InferenceSession(tmp_path / "silu.onnx").run(None, {"tokens": TOKENS})[0]
    np.testing.assert_allclose(answers, silu(TOKENS), atol=1e-5)


@pytest.mark.slow
def test_int8_says_what_it_costs_and_gains(client, tmp_path):
    run = make_run(tmp_path, {"name": "gru", "embedding_size": 64, "units": 64, "bidirectional": False})
    result = run_export(run, tmp_path / "int8", format="onnx", quantize="int8")
    assert result.report["bytes"] < result.report["int8"]["float32_bytes"]
    assert 0 < result.report["int8"]["largest_difference"] < 0.5
    assert "the largest logit is another one" in result.describe()
    with pytest.raises(ExportError, match="an ONNX export is a folder with model.onnx in it: give .*m'$"):
        run_export(run, tmp_path / "m.onnx", format="onnx")
    with pytest.raises(ExportError, match="format 'onnx': opset 30: Input should be less than or equal to 18"):
        run_export(run, tmp_path / "m", format="onnx", opset=30)


@pytest.mark.slow
def test_a_language_model_is_driven_by_the_client_as_python_goes_on(client, tmp_path):
    run = language_models.make_run(tmp_path / "run", "gru", text={"tokenizer": {"name": "word", "min_count": 1}})
    folder = tmp_path / "onnx"
    run_export(run, folder, format="onnx")
    assert {file.name for file in folder.glob("*.onnx")} == {"model.onnx", "step.onnx"}
    predictor = load(run)
    ids = Run(run).text.encode(["the cat"])[0].tolist()
    python = predictor.generate(["the cat"], max_tokens=6, temperature=0.0)[0]
    written = client["answer"](folder, [i for i in ids if i != 3], 6)[1]
    assert predictor.text.decode([written])[0].strip() == python["text"].strip()


@pytest.mark.slow
def test_a_translation_is_driven_by_the_client_as_python_searches(client, tmp_path):
    run = translation_models.make_run(tmp_path / "run", "transformer")
    folder = tmp_path / "onnx"
    run_export(run, folder, format="onnx")
    predictor = load(run)
    texts = json.loads((folder / "client" / "texts.json").read_text("utf-8"))[:4]
    python = predictor.translate([row["text"] for row in texts], beam_size=1)
    written = [client["answer"](folder, row["ids"], 12)[1] for row in texts]
    found = predictor.target_text.decode(written)
    for mine, theirs in zip(found, python):
        wanted = theirs["translation"].split()[: len(mine.split())]
        assert mine.split() == wanted and wanted


@pytest.mark.slow
def test_a_forecaster_on_logarithms(client, tmp_path):
    task = {"name": "forecasting", "horizon": 4, "context": 24, "test": 12, "transform": "log"}
    data = {"source": {"name": "sample", "size": 2}, "cache": str(tmp_path / "cache")}
    values = {"task": task, "data": data, "training": {"epochs": 1, "tensorboard": False}, "backbone": "cnn"}
    chosen = load_experiment(values)
    train(chosen, tmp_path / "run")
    result = run_export(tmp_path / "run", tmp_path / "onnx", format="onnx")
    (model,) = (tmp_path / "onnx").glob("*.onnx")
    inputs = {each.name for each in client["Model"](model.parent, model.name).session.get_inputs()}
    assert inputs == {"values", "mask"} and result.report["self_check"]["rows"] > 0
    history = [None if n == 7 else 100.0 + n % 12 for n in range(30)]
    (python,) = nlp_suite.load(tmp_path / "run").forecast([history])
    answer = client["forecast"](tmp_path / "onnx", [np.nan if each is None else each for each in history])
    np.testing.assert_allclose(answer["forecast"], python["forecast"], rtol=1e-5)
    assert json.loads((tmp_path / "onnx" / "client" / "facts.json").read_text("utf-8"))["frequency"] == "month"
