"""Weights stored as float16 or bfloat16: half the files, float32 in the graph, the answers of the rounded weights."""

import gc

import numpy as np
import pytest

from nlp_suite.errors import ExportError
from nlp_suite.export import run_export
from nlp_suite.export.cases import Case
from nlp_suite.export.load import load
from nlp_suite.export.op_check import check_ops
from nlp_suite.export.run_export import check_export
from nlp_suite.export.stored_weights import largest_change, narrowable, round_weights, store_as
from tests.export.conftest import TEXTS, Server, make_run

SHAPE = (400, 300)


@pytest.mark.parametrize("kind, digits", [("float16", 11), ("bfloat16", 8)])
def test_a_graph_computes_in_float32_with_what_half_the_bytes_hold(kind, digits, tmp_path):
    import tensorflow as tf

    exact = np.random.default_rng(0).normal(0, 0.1, SHAPE).astype("float32")
    weight, bias = tf.Variable(exact), tf.Variable(np.linspace(0, 1, SHAPE[1], dtype="float32"))
    counter = tf.Variable(3)
    weights = [weight, bias, counter]
    assert [kept is weight for kept in narrowable(weights)] == [True]
    round_weights(narrowable(weights), kind)
    assert np.any(weight.numpy() != exact)
    np.testing.assert_allclose(weight, exact, rtol=2.0**-digits, atol=2.0**-25)
    module = tf.Module()
    module.weights = store_as(weights, kind)
    product = tf.function(lambda x: {"y": x @ weight + bias}, input_signature=[tf.TensorSpec([None, SHAPE[0]])])
    x = np.random.default_rng(1).normal(0, 1, (3, SHAPE[0])).astype("float32")
    expected = product(tf.constant(x))["y"].numpy()
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=product)

    stored = sum(file.stat().st_size for file in (tmp_path / "1" / "variables").iterdir())
    assert 2 * exact.size < stored < 2.1 * exact.size + 4 * SHAPE[1]
    assert (tmp_path / "1" / "saved_model.pb").stat().st_size < exact.size / 4, "the weights stand in the graph, too"
    check_ops(tmp_path / "1", "2.13").refuse()
    server = Server(tmp_path / "1")
    np.testing.assert_allclose(server("serving_default", x=x)["y"], expected, atol=1e-5)
    functions = [tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"] for _ in range(2)]
    del functions[0], module
    gc.collect()  # neither another loaded one nor the network loses its weights
    np.testing.assert_allclose(functions[0](x=tf.constant(x))["y"], expected, atol=1e-5)
    np.testing.assert_array_equal(product(tf.constant(x))["y"], expected)


def test_int8_has_a_scale_for_every_unit(tmp_path):
    import tensorflow as tf

    exact = np.random.default_rng(0).normal(0, 1, SHAPE).astype("float32") * np.linspace(
        0, 5, SHAPE[1], dtype="float32"
    )
    weight = tf.Variable(exact)
    round_weights([weight], "int8")
    assert np.all(np.abs(weight - exact) <= np.abs(exact).max(0) / 127 * 0.501)
    module = tf.Module()
    module.weights = store_as([weight], "int8")
    product = tf.function(lambda x: {"y": x @ weight}, input_signature=[tf.TensorSpec([None, SHAPE[0]])])
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=product)
    stored = sum(file.stat().st_size for file in (tmp_path / "1" / "variables").iterdir())
    assert exact.size < stored < 1.1 * exact.size
    check_ops(tmp_path / "1", "2.13").refuse()
    x = np.random.default_rng(1).normal(0, 1, (3, SHAPE[0])).astype("float32")
    np.testing.assert_allclose(Server(tmp_path / "1")("serving_default", x=x)["y"], x @ weight.numpy(), atol=1e-3)


def test_numbers_that_the_type_cannot_hold_are_refused():
    import tensorflow as tf

    weight = tf.Variable([[1.0, 1e5]])
    with pytest.raises(ExportError, match=r"weights as float16: .*\(1, 2\) has numbers up to 1e\+05, .* give bfloat16"):
        round_weights([weight], "float16")
    np.testing.assert_array_equal(weight, [[1.0, 1e5]])
    round_weights([weight], "bfloat16")
    np.testing.assert_allclose(weight, [[1.0, 1e5]], rtol=2.0**-8)


def test_another_type_is_refused_by_its_name():
    with pytest.raises(
        ExportError, match=r"format 'saved_model': weights 'float12': Input should be 'float32', 'float16'"
    ):
        check_export("runs/absent", "saved_models/absent", "saved_model", weights="float12")


def test_how_much_an_answer_changed():
    def answers(numbers, texts):
        outputs = {"score": np.array(numbers, "float32"), "text": [text.encode() for text in texts], "count": [1, 2]}
        return [Case("f", {"text": [b"a", b"b"]}, outputs)]

    before = answers([0.5, 20.0], ["x", "y"])
    assert largest_change(before, before) == 0
    assert largest_change(before, answers([0.5, 20.5], ["x", "y"])) == pytest.approx(0.025)
    assert largest_change(before, answers([0.6, 9.0], ["x", "z"])) == pytest.approx(0.1)


@pytest.mark.slow
def test_an_export_says_what_the_rounding_changes(tmp_path):
    backbone = {"name": "bag", "embedding_size": 64, "ngram_buckets": 1024}
    run = make_run(tmp_path / "run", backbone)
    config = (run / "config.yaml").read_text().replace("weights: float32", "weights: float16")
    (run / "config.yaml").write_text(config)
    narrow = run_export(run, tmp_path / "narrow")
    wide = run_export(run, tmp_path / "wide", weights="float32")
    report, said = narrow.report, narrow.describe()
    assert report["weights"]["stored_as"] == "float16" and 1e-6 < report["weights"]["largest_change"] < 5e-3
    assert report["self_check"]["largest_difference"] <= report["self_check"]["tolerance"] == 1e-5
    assert "(1e-05 allowed)" in said and "weights: stored as float16; the rounding changes an answer by at most" in said
    assert "weights" not in wide.report and "stored as" not in wide.describe()
    sizes = [(result.path / "variables" / "variables.data-00000-of-00001").stat().st_size for result in (narrow, wide)]
    assert sizes[0] < 0.55 * sizes[1]
    expected = load(run).probabilities(TEXTS)
    np.testing.assert_allclose(load(narrow.path).probabilities(TEXTS), expected, atol=5e-3)
