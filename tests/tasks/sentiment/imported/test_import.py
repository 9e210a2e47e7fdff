"""Models of Keras 2 and 3 that are imported: the answers of Keras itself, in Python, in an export and at the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from nlp_suite.cli import main
from nlp_suite.errors import ExportError, UsageError
from nlp_suite.tasks.sentiment.imported import open_foreign
from nlp_suite.tasks.sentiment.imported.reading import look_at
from nlp_suite.tasks.sentiment.imported.words import IdRule

KERAS_2 = Path(__file__).parents[3] / "fixtures" / "keras2"
TEXTS = ["a good film", "", "a bad plot , and a great film that nobody saw at all", "not great"]


def text_model(*above, length=8, mask=True):
    import keras

    keras.utils.set_random_seed(4)
    vectors = keras.layers.TextVectorization(output_sequence_length=length)
    vectors.adapt(TEXTS)
    text = keras.Input((1,), dtype="string")
    x = keras.layers.Embedding(30, 4, mask_zero=mask)(vectors(text))
    x = keras.layers.GRU(3)(x)
    for layer in above:
        x = layer(x)
    return keras.Model(text, x)


def dense(units, activation):
    import keras

    return keras.layers.Dense(units, activation, kernel_initializer="glorot_uniform", bias_initializer="glorot_normal")


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "vocabulary.txt"
    path.write_text("".join(f"w{i}\n" for i in range(30)), "utf-8")
    return path


def answer_of(model, texts=TEXTS):
    import tensorflow as tf

    return model(tf.constant(texts)[:, None]).numpy()


@pytest.mark.parametrize(
    "units, activation, labels", [(1, "sigmoid", 2), (1, "linear", 2), (3, "softmax", 3), (2, "linear", 2)]
)
def test_what_the_last_layer_answers(tmp_path, units, activation, labels):
    model = text_model(dense(units, activation))
    model.save(tmp_path / "theirs.keras")
    classifier, remarks = open_foreign(look_at(tmp_path / "theirs.keras"), None, None)
    raw = answer_of(model).astype("float64")
    if units == 1:
        second = raw if activation == "sigmoid" else 1 / (1 + np.exp(-raw))
        expected = np.concatenate([1 - second, second], 1)
    else:
        expected = raw if activation == "softmax" else np.exp(raw) / np.exp(raw).sum(1, keepdims=True)
    np.testing.assert_allclose(classifier.probabilities(TEXTS), expected, atol=1e-6)
    assert classifier.labels == [str(i) for i in range(labels)] and "no --labels were given" in remarks[0]
    assert ("logits" if activation == "linear" else "probabilities") in remarks[1]


@pytest.mark.parametrize("name", ["bilstm", "gru"])
def test_h5_of_keras_2(name, vocabulary):
    recorded = json.loads((KERAS_2 / "answers.json").read_text("utf-8"))
    texts = [" ".join(f"w{i}" for i in row if i) for row in recorded["ids"]]
    rule = IdRule(vocabulary, "left", "tail", unknown=1)
    classifier, _ = open_foreign(look_at(KERAS_2 / f"{name}.h5"), None, rule)
    answer = classifier.probabilities(texts)
    expected = np.array(recorded[name])
    np.testing.assert_allclose(answer if expected.shape[1] > 1 else answer[:, 1:], expected, atol=1e-6)
    assert [a["truncated"] for a in classifier.predict([texts[0], texts[0] + " w5"])] == [False, True]


def test_a_saved_model(tmp_path):
    model = text_model(dense(3, "softmax"))
    model.export(tmp_path / "theirs", verbose=False)
    classifier, remarks = open_foreign(look_at(tmp_path / "theirs"), ["a", "b", "c"], None)
    np.testing.assert_allclose(classifier.probabilities(TEXTS), answer_of(model), atol=1e-6)
    assert classifier.network.parameters == model.count_params() and "probabilities" in remarks[-1]
    with pytest.raises(UsageError, match="3 different names are needed"):
        open_foreign(look_at(tmp_path / "theirs"), ["a", "b"], None)


def test_what_is_refused_once_it_is_open(tmp_path, vocabulary):
    import keras

    text_model(dense(3, "sigmoid")).save(tmp_path / "several.keras")
    with pytest.raises(ExportError, match="3 sigmoids, any number of labels"):
        open_foreign(look_at(tmp_path / "several.keras"), None, None)
    text_model(dense(1, "relu")).save(tmp_path / "relu.keras")
    with pytest.raises(ExportError, match="does not say what its numbers are: give --outputs"):
        open_foreign(look_at(tmp_path / "relu.keras"), None, None)
    model = text_model(dense(1, "sigmoid"))
    model.save(tmp_path / "text.keras")
    with pytest.raises(UsageError, match="has its vocabulary inside"):
        open_foreign(look_at(tmp_path / "text.keras"), None, IdRule(vocabulary, "left", "tail", 1))
    for mask, message in (
        (True, "NotEqual .* or an operation, which H5 does not keep"),
        (False, "which an H5 file does not keep"),
    ):
        text_model(dense(1, "sigmoid"), mask=mask).save(tmp_path / "text.h5")
        with pytest.raises(ExportError, match=message):
            open_foreign(look_at(tmp_path / "text.h5"), None, None)
    ids = look_at(KERAS_2 / "gru.h5")
    with pytest.raises(UsageError, match="takes ids of tokens: give --vocabulary"):
        open_foreign(ids, None, None)
    with pytest.raises(ExportError, match="does not fit the embedding"):
        open_foreign(ids, None, IdRule(vocabulary, "left", "tail", 1, id_offset=1))
    keras.Sequential([keras.Input((4,)), dense(2, "softmax")]).save(tmp_path / "numbers.keras")
    with pytest.raises(ExportError, match="no Embedding"):
        open_foreign(look_at(tmp_path / "numbers.keras"), None, None)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--padding", "left"], "give its --vocabulary, too"),
        (["--vocabulary", "v", "--padding", "pre"], "--padding 'pre' is unknown: it is left or right"),
        (["--vocabulary", "v", "--padding", "left"], "--truncation is needed"),
        (["--outputs", "scores"], "--outputs 'scores' is unknown"),
        (["--vocabulary", "v", "--padding", "left", "--truncation", "tail", "--unknown", "x"], "give an id, or drop"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit):
        main(["import", str(tmp_path / "a.keras"), "--to", str(tmp_path / "to"), *options])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "to").exists()


@pytest.mark.slow
def test_an_imported_model_is_an_export(tmp_path, capsys):
    from nlp_suite import load
    from nlp_suite.serving.doctor import examine
    from tests.export.conftest import Server

    model = text_model(dense(1, "sigmoid"))
    model.save(tmp_path / "theirs.keras")
    to = tmp_path / "models" / "theirs"
    table = tmp_path / "reviews.csv"
    table.write_text('review,label\n"a good, good film",pos\n"not great",neg\n"a bad plot",pos\n', "utf-8")
    given = ["--labels", "neg,pos", "--data", str(table), "--text", "review"]
    with pytest.raises(SystemExit) as ended:
        main(["import", str(tmp_path / "theirs.keras"), "--to", str(to), *given])
    assert ended.value.code in (0, None)
    printed = capsys.readouterr().out
    assert "self-check" in printed and "its answers are taken for probabilities, of 'pos'" in printed
    expected = answer_of(model)[:, 0]
    classifier = load(to)
    assert classifier.labels == ["neg", "pos"]
    np.testing.assert_allclose(classifier.probabilities(TEXTS)[:, 1], expected, atol=1e-6)
    server = Server(to / "1")
    answer = server("serving_default", text=TEXTS)
    np.testing.assert_allclose(answer["probabilities"][:, 1], expected, atol=1e-6)
    card = json.loads((to / "1" / "assets.extra" / "model_card.json").read_text("utf-8"))
    assert card["labels"] == ["neg", "pos"] and "theirs.keras" in card["reads_and_writes"]["Imported from"]
    assert card["metrics"]["examples"] == 3 and "on 3 texts of" in printed
    report = json.loads((tmp_path / "models" / "theirs-report" / "report.json").read_text("utf-8"))
    answers = classifier.predict(["a good, good film", "not great", "a bad plot"])
    right = [answer["label"] == label for answer, label in zip(answers, ("pos", "neg", "pos"))]
    assert report["accuracy"] == pytest.approx(np.mean(right))
    assert examine(to).ok


@pytest.mark.slow
def test_a_saved_model_of_keras_2_at_a_live_endpoint(tmp_path):
    tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    from nlp_suite.tasks.sentiment.imported import import_model
    from tests.serving.endpoint import Endpoint

    tf_keras.utils.set_random_seed(4)
    vectors = tf_keras.layers.TextVectorization(output_sequence_length=8)
    vectors.adapt(TEXTS)
    above = [tf_keras.layers.Embedding(30, 4, mask_zero=True), tf_keras.layers.Bidirectional(tf_keras.layers.LSTM(3))]
    model = tf_keras.Sequential(
        [tf_keras.Input((1,), dtype="string"), vectors, *above, tf_keras.layers.Dense(1, "sigmoid")]
    )
    expected = answer_of(model)[:, 0]
    model.save(tmp_path / "theirs", save_format="tf")
    to = tmp_path / "models" / "theirs"
    import_model(tmp_path / "theirs", to, labels=["neg", "pos"])
    with Endpoint(model_name="theirs", model_base_path=str(to)) as endpoint:
        predicted = endpoint.rest("POST", "/v1/models/theirs:predict", {"instances": TEXTS}).json["predictions"]
        classified = endpoint.rest(
            "POST", "/v1/models/theirs:classify", {"signature_name": "classify", "examples": [{"text": TEXTS[0]}]}
        ).json["results"]
    assert [row["label"] for row in predicted] == ["pos" if value > 0.5 else "neg" for value in expected]
    np.testing.assert_allclose([row["probabilities"][1] for row in predicted], expected, atol=1e-6)
    assert dict(classified[0])["pos"] == pytest.approx(expected[0], abs=1e-6)
