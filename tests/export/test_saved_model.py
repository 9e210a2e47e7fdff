"""The exported SavedModel answers as Python does, whatever a client or the server's batching does to its inputs."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.client import pywrap_tf_session

from nlp_suite.errors import ExportError
from nlp_suite.export import run_export, version_writing
from nlp_suite.export.cases import Case
from nlp_suite.export.formats import saved_model
from nlp_suite.export.load import load
from nlp_suite.export.op_check import check_ops
from nlp_suite.export.samples import HARD_TEXTS
from nlp_suite.export.self_check import check_saved_model
from nlp_suite.export.warmup import FILE, read_warmup
from nlp_suite.tasks.sentiment.signatures import SentimentSignatures
from tests.export.conftest import LABELS, SMALL, TEXTS, Server, make_run

ROOT = Path(__file__).parents[2]


def example(**features):
    feature = {k: tf.train.Feature(bytes_list=tf.train.BytesList(value=v)) for k, v in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def test_same_probabilities_alone_co_batched_and_from_python(server, predictor):
    texts = [text.encode() for text in TEXTS[:5]] + list(HARD_TEXTS)
    expected = predictor.probabilities(texts)
    together = server("serving_default", text=texts)
    np.testing.assert_allclose(together["probabilities"], expected, atol=1e-5)
    assert together["label"].tolist() == [LABELS[i].encode() for i in expected.argmax(axis=1)]
    np.testing.assert_array_equal(together["probability"], together["probabilities"].max(axis=1))
    assert together["labels"].tolist() == [[b"negative", b"positive"]] * len(texts)
    for text, row in zip(texts, expected):
        np.testing.assert_allclose(server("serving_default", text=[text])["probabilities"], [row], atol=1e-5)


def test_states_of_random_generators_are_the_same_in_every_export(exported):
    saved = tf.train.load_checkpoint(str(exported.path / "variables" / "variables"))
    states = [
        name for name, kind in saved.get_variable_to_dtype_map().items() if kind == tf.int64 and "weights/" in name
    ]
    assert states and not any(saved.get_tensor(name).any() for name in states)


def test_scalar_text_and_empty_batch(server):
    definition = server.signatures["serving_default"]
    feed, fetch = (
        server.graph.get_tensor_by_name(info.name)._as_tf_output()
        for info in (definition.inputs["text"], definition.outputs["probability"])
    )
    fed = {feed: np.array(b"great", object)}  # as the server does: no check against the signature's shape
    (answer,) = pywrap_tf_session.TF_SessionRun_wrapper(server.session._session, None, fed, [fetch], [], None)
    np.testing.assert_array_equal(answer, server("serving_default", text=[b"great"])["probability"])
    empty = server("serving_default", text=np.array([], object))
    assert empty["probabilities"].shape == (0, 2) and empty["labels"].shape == (0, 2) and empty["label"].shape == (0,)
    assert server("tokens", tokens=np.zeros((0, 0), "int32"), length=np.zeros(0, "int32"))["probability"].shape == (0,)
    assert server("classify", inputs=np.array([], object))["scores"].shape == (0, 2)


def test_classify_is_tensorflow_servings(server, predictor):
    definition = server.signatures["classify"]
    assert definition.method_name == "tensorflow/serving/classify"
    assert list(definition.inputs) == ["inputs"] and sorted(definition.outputs) == ["classes", "scores"]
    assert server.signatures["serving_default"].method_name == "tensorflow/serving/predict"
    answer = server("classify", inputs=[example(text=[t.encode()], other=[b"x"]) for t in TEXTS[:4]])
    np.testing.assert_allclose(answer["scores"], predictor.probabilities(TEXTS[:4]), atol=1e-5)
    assert answer["classes"].tolist() == [[b"negative", b"positive"]] * 4


def test_classify_refuses_an_example_without_text(server):
    with pytest.raises(tf.errors.InvalidArgumentError, match="text"):
        server("classify", inputs=[example(txt=[b"great"])])


def test_tokens_ignores_what_stands_behind_the_length(server, predictor):
    rows = predictor.text.encode(TEXTS[:5])
    length = np.array([len(row) for row in rows], "int32")
    clean = predictor.text.pad(rows)
    expected = predictor.probabilities(TEXTS[:5])
    repeated = np.where(clean == 0, clean[0, 0], clean)  # pad_variable_length_inputs pads with the first element
    garbage = np.where(clean == 0, np.int32(2**31 - 1), clean)
    wider = np.pad(clean, [(0, 0), (0, 40)], constant_values=5)
    for tokens in (clean, repeated, garbage, wider):
        answer = server("tokens", tokens=tokens.astype("int32"), length=length)
        np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    for i, row in enumerate(rows):
        answer = server("tokens", tokens=row[None, :], length=length[i : i + 1])
        np.testing.assert_allclose(answer["probabilities"], expected[i : i + 1], atol=1e-5)


def test_rows_without_tokens_are_the_empty_text_and_harm_no_neighbour(server, predictor):
    row = predictor.text.encode(["great"])[0]
    tokens = np.stack([np.resize(row, 6), np.full(6, 9), np.full(6, 9), np.zeros(6)]).astype("int32")
    answer = server("tokens", tokens=tokens, length=np.array([len(row), 0, 0, 0], "int32"))["probabilities"]
    expected = predictor.probabilities(["great", "", "", ""])
    np.testing.assert_allclose(answer, expected, atol=1e-5)
    alone = server("tokens", tokens=np.zeros((2, 0), "int32"), length=np.zeros(2, "int32"))["probabilities"]
    np.testing.assert_allclose(alone, expected[1:3], atol=1e-5)


def test_padding_among_tokens_counts_as_unknown(server):
    def ask(row):
        return server("tokens", tokens=np.array([row], "int32"), length=np.array([3], "int32"))["probabilities"]

    unknown = ask([5, 1, 6])
    np.testing.assert_array_equal(ask([5, 0, 6]), unknown)
    assert not np.array_equal(ask([5, 7, 6]), unknown)


def test_ids_and_lengths_that_cannot_be_are_refused(server, predictor):
    size, good = predictor.text.vocabulary_size, {"tokens": [[4, 5, 6]] * 2, "length": [3, 2]}
    server("tokens", **good | {"tokens": [[4, 5, size - 1], [4, 5, size]]})  # the last is not looked at
    wrong_ids = rf"the ids of tokens are from 0 to {size - 1}; lowest and highest:\] \[{{}}\] \[{{}}\]"
    wrong_length = "every row of tokens has one length from 0 to their width"
    for odd, message in [
        ({"tokens": [[4, 5, 6], [4, size, 6]]}, wrong_ids.format(0, size)),
        ({"tokens": [[4, 5, 2**31 - 1], [4, 5, 6]]}, wrong_ids.format(0, 2**31 - 1)),
        ({"tokens": [[4, -1, 6], [4, 5, 6]]}, wrong_ids.format(-1, 6)),
        ({"length": [3, 4]}, rf"{wrong_length}; shape and length:\] \[2 3\] \[3 4\]"),
        ({"length": [-1, 3]}, wrong_length),
        ({"length": [3]}, wrong_length),
        ({"length": [3, 3, 3]}, wrong_length),
        ({"tokens": np.zeros([2, 0]), "length": [0, 1]}, wrong_length),
    ]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            server("tokens", **good | odd)


def test_rows_longer_than_the_network_was_trained_for_are_cut(server):
    row = np.arange(60, dtype="int32")[None, :] % 9 + 4
    long = server("tokens", tokens=row, length=np.array([60], "int32"))
    cut = server("tokens", tokens=row[:, :24], length=np.array([24], "int32"))
    np.testing.assert_array_equal(long["probabilities"], cut["probabilities"])
    assert long["truncated"].tolist() == [True] and cut["truncated"].tolist() == [False]
    padded = server("tokens", tokens=row, length=np.array([24], "int32"))
    assert padded["truncated"].tolist() == [False], "what stands behind the length is no part of the text"


def test_a_text_that_is_not_read_whole_is_flagged(server, predictor, exported):
    texts = ["great " * 24, "great " * 25, "great" + " " * 30_000 + "dull", ""]
    assert server("serving_default", text=texts)["truncated"].tolist() == [False, True, True, False]
    for asked in (predictor, load(exported.path)):
        assert [answer["truncated"] for answer in asked.predict(texts)] == [False, True, True, False]
        assert asked.experiment.data.source.name == "sample", "an export knows how its run reads tables"


def test_the_version_folder_is_complete(exported, run_dir):
    extra = exported.path / "assets.extra"
    assert exported.path.name == "1"
    card = json.loads((extra / "model_card.json").read_text())
    assert card["name"] == "demo" and card["labels"] == LABELS and card["license"] == "Apache-2.0"
    assert card["metrics"] == {"accuracy": 0.5, "macro": {"f1": 0.4}} and card["parameters"] > 100
    page = (extra / "model_card.md").read_text()
    assert "| accuracy | 0.5000 |" in page and "negative, positive" in page and "60 texts, 600 tokens" in page
    assert (extra / "config.yaml").read_text() == (run_dir / "config.yaml").read_text()
    ops = json.loads((extra / "ops.json").read_text())
    assert ops["missing"] == [] and ops["server_version"] == "2.19" and ops["ops"]["ParseExampleV2"] == 1
    assert ops["ops"] == check_ops(exported.path).ops
    from nlp_suite.text.text_layer import TextLayer

    assert TextLayer.load(extra / "text").fingerprint == TextLayer.load(run_dir / "text").fingerprint
    assert not [name for name in exported.path.parent.iterdir() if name.name.startswith(".")]


def test_warm_up_records_are_what_the_server_reads(exported, server):
    from tensorflow_serving.apis import prediction_log_pb2

    records = [
        prediction_log_pb2.PredictionLog.FromString(record)
        for record in tf.data.TFRecordDataset(str(exported.path / FILE)).as_numpy_iterator()
    ]
    assert {record.WhichOneof("log_type") for record in records} == {"predict_log", "classify_log"}
    assert records[0].predict_log.request.model_spec.signature_name == "serving_default"
    cases = read_warmup(exported.path)
    assert {case.signature for case in cases} == {"serving_default", "tokens", "classify", "embed"}
    sizes = [len(next(iter(server(case.signature, **case.inputs).values()))) for case in cases]
    assert sorted(sizes) == [1, 1, 1, 1, 3, 3, 3, 3]


def test_what_the_exporter_says(exported):
    assert exported.curl.endswith("http://localhost:8501/v1/models/demo:predict")
    assert json.loads(exported.curl.split("'")[1])["instances"]
    assert exported.signatures["serving_default"]["inputs"] == {"text": "string [B]"}
    assert exported.signatures["tokens"]["inputs"] == {"tokens": "int32 [B, ?]", "length": "int32 [B]"}
    assert exported.signatures["embed"]["outputs"] == {"embedding": "float32 [B, 16]", "truncated": "bool [B]"}
    assert exported.signatures["classify"]["outputs"] == {"classes": "string [B, 2]", "scores": "float32 [B, 2]"}
    assert exported.report["self_check"]["warmup_records"] == 8 and exported.report["self_check"]["xla_off"]
    assert exported.curl in exported.describe() and str(exported.path) in exported.describe()


def test_vocabularies_beyond_the_graphs_file_are_refused_before_the_work(run_dir, exported, tmp_path, monkeypatch):
    graph = (exported.path / "saved_model.pb").stat().st_size
    texts = sum(file.stat().st_size for file in (run_dir / "text").iterdir())
    assert saved_model.GRAPH_BYTES == 2 << 30 and 2 * texts < graph
    monkeypatch.setattr(saved_model, "GRAPH_BYTES", 2 * texts)
    monkeypatch.setattr(saved_model, "tensorflow_for_graphs", None)  # the work
    with pytest.raises(
        ExportError, match=r"saved_model\.pb can have .* train a tokenizer with a smaller vocabulary_size"
    ):
        run_export(run_dir, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_wrong_answer_is_found_by_the_fresh_process(exported, predictor, monkeypatch):
    right = predictor.outputs_flagged

    def other(texts):
        probabilities, truncated = right(texts)
        return probabilities + np.array([[0, 3e-5]], "float32"), truncated

    monkeypatch.setattr(predictor, "outputs_flagged", other)
    wrong = SentimentSignatures(predictor.model, predictor).cases([text.encode() for text in TEXTS[:3]])
    with pytest.raises(ExportError, match=r"signature 'serving_default', output 'prob.*differs by"):
        check_saved_model(exported.path, wrong, [])


@pytest.mark.slow
def test_the_fresh_process_has_xla_off_and_replays_warm_up(tmp_path):
    module = tf.Module()
    double = tf.function(lambda x: {"y": x * 2.0}, input_signature=[tf.TensorSpec([None], name="x")], jit_compile=True)
    module.function = double
    tf.saved_model.save(module, str(tmp_path), signatures=double)
    record = Case("serving_default", {"x": np.ones(2, "float32")}, {})
    with pytest.raises(
        ExportError, match=r"warm-up record 1 \(serving_default\) fails: (.|\n)*XLA compilation disabled"
    ):
        check_saved_model(tmp_path, [], [record])


def test_no_cudnn_is_traced_although_there_is_a_gpu(run_dir, monkeypatch):
    from nlp_suite.training.run import Run

    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: ["GPU"])
    spec = tf.TensorSpec([None, None], tf.int32)

    def ops(model):
        graph = tf.function(lambda tokens: model(tokens, training=False)).get_concrete_function(spec).graph
        functions = graph.as_graph_def().library.function
        return {node.op for node in [*graph.as_graph_def().node, *(n for f in functions for n in f.node_def)]}

    model = Run(run_dir).model("best")
    with saved_model.without_cudnn(model):
        assert not {op for op in ops(model) if op.startswith("Cudnn")}
    assert {op for op in ops(model) if op.startswith("Cudnn")}  # what it would have been


@pytest.fixture
def quick(monkeypatch):
    """Without the fresh process, which other tests run."""
    seen = {"largest_difference": 0.0, "rows": 0, "warmup_records": 0, "xla_off": True}
    monkeypatch.setattr(version_writing, "check_saved_model", lambda *args: seen)


@pytest.fixture(scope="session")
def bag_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("bag"), SMALL["bag"], labels=["bad", "fair", "good"])


def test_versions_are_numbered_on_and_three_classes_work(quick, bag_run, tmp_path):
    assert run_export(bag_run, tmp_path / "m").path == tmp_path / "m" / "1"
    path = run_export(bag_run, tmp_path / "m", server_version="2.20").path
    assert path == tmp_path / "m" / "2"
    assert Server(path)("serving_default", text=[b"a fine film"])["labels"].tolist() == [[b"bad", b"fair", b"good"]]
    assert json.loads((path / "assets.extra" / "ops.json").read_text())["server_version"] == "2.20"


def test_a_failed_check_refuses_and_leaves_nothing(bag_run, tmp_path, monkeypatch):
    def fail(*args):
        raise ExportError("the self-check refuses the export: differs")

    monkeypatch.setattr(version_writing, "check_saved_model", fail)
    with pytest.raises(ExportError, match="differs"):
        run_export(bag_run, tmp_path / "models" / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(quick, bag_run, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # every longer write fails, those of TensorFlow too
    try:
        with pytest.raises(ExportError, match="cannot write the export"):
            run_export(bag_run, tmp_path / "models" / "m")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_wrong_destinations_and_settings_are_named(bag_run, tmp_path):
    with pytest.raises(ExportError, match="give the model's folder"):
        run_export(bag_run, tmp_path / "m" / "3")
    with pytest.raises(ExportError, match="is a file"):
        run_export(bag_run, tmp_path / "m.keras")
    with pytest.raises(ExportError, match=r"2\.9"):
        run_export(bag_run, tmp_path / "m", server_version="2.9")
    with pytest.raises(ExportError, match="unknown setting 'server_version'"):
        run_export(bag_run, tmp_path / "m.keras", format="keras", server_version="2.19")
    with pytest.raises(KeyError, match="did you mean 'saved_model'"):
        run_export(bag_run, tmp_path / "m", format="savedmodel")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("backbone", SMALL)
def test_every_backbone_passes_its_self_check(backbone, tmp_path):
    (tmp_path / "run").mkdir()
    result = run_export(make_run(tmp_path / "run", SMALL[backbone]), tmp_path / "m")
    assert result.report["self_check"]["largest_difference"] <= 1e-5


@pytest.mark.slow
def test_an_export_killed_before_its_end_leaves_no_version(bag_run, tmp_path):
    code = f"""
        import os, signal
        from nlp_suite.export import run_export
        from nlp_suite.export.cases import Case
        from nlp_suite.export import version_writing
        version_writing.check_saved_model = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
        run_export({str(bag_run)!r}, {str(tmp_path / "m")!r})
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, env={**os.environ})
    assert process.returncode == -signal.SIGKILL
    assert not [child for child in (tmp_path / "m").iterdir() if child.name.isdigit()]
    assert list((tmp_path / "m").glob(".export-*/moved/saved_model.pb"))
    assert run_export(bag_run, tmp_path / "m").path.name == "1"
    assert [child.name for child in (tmp_path / "m").iterdir()] == ["1"]


@pytest.mark.slow
def test_weights_of_a_jax_process_are_exported_by_tensorflow(tmp_path):
    pytest.importorskip("jax")
    code = f"""
        import json
        from pathlib import Path
        from tests.export.conftest import SMALL, TEXTS, make_run
        from nlp_suite.export.load import load
        directory = Path({str(tmp_path)!r}) / "run"
        directory.mkdir()
        make_run(directory, SMALL["gru"])
        import keras
        assert keras.backend.backend() == "jax"
        (directory / "answers.json").write_text(json.dumps(load(directory).probabilities(TEXTS[:5]).tolist()))
    """
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, env=environment, check=True)
    path = run_export(tmp_path / "run", tmp_path / "m").path
    expected = np.array(json.loads((tmp_path / "run" / "answers.json").read_text()))
    shutil.rmtree(tmp_path / "run")
    answer = Server(path)("serving_default", text=[text.encode() for text in TEXTS[:5]])["probabilities"]
    np.testing.assert_allclose(answer, expected, atol=1e-4)
