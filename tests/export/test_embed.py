"""Vectors of texts: what the head reads, the same in Python, in the graph and in a file, alone and in a batch."""

import io
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from pyarrow import parquet

from nlp_suite.backbones.lstm import LSTMBackbone
from nlp_suite.data.table_writing import open_table_writer
from nlp_suite.errors import DataError, ExportError, RequestError, UsageError
from nlp_suite.export import predict_table
from nlp_suite.export.load import load
from nlp_suite.export.samples import HARD_TEXTS
from nlp_suite.predictor import Predictor
from nlp_suite.tasks.sentiment.embedding import embed_texts
from nlp_suite.tasks.sentiment.network import SentimentModel
from tests.export.conftest import TEXTS

ASKED = [*(text.encode() for text in TEXTS[:5]), *HARD_TEXTS, b"great " * 25]


def test_the_same_vectors_alone_co_batched_and_from_python(server, predictor, exported):
    expected = predictor.embed(ASKED)
    assert expected.shape == (len(ASKED), 16) and expected.dtype == np.float32
    together = server("embed", text=ASKED)
    np.testing.assert_allclose(together["embedding"], expected, atol=1e-5)
    assert together["truncated"].tolist() == server("serving_default", text=ASKED)["truncated"].tolist()
    for text, row in zip(ASKED, expected):
        np.testing.assert_allclose(server("embed", text=[text])["embedding"], [row], atol=1e-5)
        np.testing.assert_allclose(predictor.embed(text), row, atol=1e-5)
    np.testing.assert_allclose(load(exported.path).embed(ASKED, batch_size=2), expected, atol=1e-5)
    empty = server("embed", text=np.array([], object))
    assert empty["embedding"].shape == (0, 16) and empty["truncated"].shape == (0,)


def test_a_vector_is_what_the_head_reads(predictor):
    logits = np.log(predictor.probabilities(TEXTS[:5])) * predictor.temperature
    answered = keras.ops.convert_to_numpy(predictor.model.head(predictor.embed(TEXTS[:5])))
    differences = logits - answered  # a softmax does not know what is added to all of a row
    np.testing.assert_allclose(differences, differences[:, :1].repeat(2, axis=1), atol=1e-4)
    assert np.ptp(answered[:, 0]) > 0.1, "the texts do not all have one vector"


def test_lengths_of_one_and_no_texts_at_all(predictor, exported):
    exact, vectors = predictor.embed(TEXTS[:5]), predictor.embed(TEXTS[:5], normalize=True)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors * np.linalg.norm(exact, axis=1, keepdims=True), exact, atol=1e-5)
    for asked in (predictor, load(exported.path)):
        assert asked.embed([]).shape == (0, 16)
    with pytest.raises(TypeError, match="not int"):
        predictor.embed(["fine", 3])
    with pytest.raises(RequestError, match="batch_size is 0"):
        predictor.embed(["fine"], batch_size=0)


def test_zeros_have_no_direction(predictor, monkeypatch):
    monkeypatch.setattr(predictor, "_vectors", lambda items: (np.zeros((len(items), 16)), np.zeros(len(items), bool)))
    assert predictor.embed(["fine"], normalize=True).tolist() == [[0.0] * 16]


def test_vectors_are_float32_whatever_the_network_computes_in_and_have_no_dropout():
    settings = {"vocabulary_size": 20, "embedding_size": 6, "units": 4, "dtype": "mixed_float16"}
    model = SentimentModel(LSTMBackbone(**settings), 2, ["mean"], dropout=0.5, hidden=3, dtype="mixed_float16")
    tokens = np.array([[4, 5, 6], [7, 0, 0]], "int32")
    vectors, logits = model.vectors_and_logits(tokens)
    assert keras.backend.standardize_dtype(vectors.dtype) == "float32" and vectors.shape == (2, model.vector_size)
    np.testing.assert_array_equal(logits, model(tokens, training=False))
    np.testing.assert_array_equal(vectors, model.vectors_and_logits(tokens)[0])


def test_an_export_of_an_earlier_version_says_how_to_get_vectors(exported, tmp_path):
    module = tf.Module()
    names = tf.constant([[b"negative", b"positive"]])
    module.f = tf.function(
        lambda text: {
            "labels": tf.repeat(names, tf.size(text), axis=0),
            "probabilities": tf.fill([tf.size(text), 2], 0.5),
        },
        input_signature=[tf.TensorSpec([None], tf.string, name="text")],
    )
    tf.saved_model.save(module, str(tmp_path / "1"), {"serving_default": module.f})
    (tmp_path / "1" / "assets.extra").mkdir()
    shutil.copy(exported.path / "assets.extra" / "config.yaml", tmp_path / "1" / "assets.extra")
    old = load(tmp_path / "1")
    assert old.predict("fine")["probability"] == 0.5
    with pytest.raises(
        RequestError, match=r"has no signature embed: .* export its run again \(nlp-suite export RUN --to"
    ):
        old.embed(["fine"])
    with pytest.raises(RequestError, match="has no signature embed"):
        embed_texts(tmp_path / "1", ["fine"], None, tmp_path / "v.npy", column=None, normalize=False)
    assert not (tmp_path / "v.npy").exists()


def test_a_model_of_another_task_has_none():
    class Translator(Predictor):
        task_name = "translation"

    with pytest.raises(
        RequestError, match="this is a translation model, which gives no vectors of texts; classifiers do"
    ):
        Translator().embed(["fine"])


# ---- files


@pytest.fixture
def ask(predictor, monkeypatch):
    """Writes vectors with the predictor in place of a model that is opened."""
    monkeypatch.setattr("nlp_suite.tasks.sentiment.embedding.open_model", lambda path, task: predictor)

    def ask(output, texts=None, input=None, column=None, normalize=False):
        return embed_texts("run", texts, input, output, column=column, normalize=normalize)

    return ask


@pytest.fixture
def table(tmp_path):
    with open_table_writer(tmp_path / "new.jsonl", ["id", "text", "embedding"]) as writer:
        for row in enumerate([None, "a fine film", "", "dull " * 40, "great"]):
            writer.write([*row, "taken"])
    return tmp_path / "new.jsonl"


def test_an_array_has_a_row_for_every_row_of_a_table(predictor, table, tmp_path, ask, monkeypatch):
    monkeypatch.setattr(predict_table, "CHUNK_ROWS", 2)
    done = ask(tmp_path / "v.npy", input=table, normalize=True)
    assert (done.rows, done.missing, done.truncated) == (5, 1, 1)
    vectors = np.load(tmp_path / "v.npy", mmap_mode="r")
    assert vectors.shape == (5, 16) and vectors.dtype == np.float32 and np.isnan(vectors[0]).all()
    texts = ["a fine film", "", "dull " * 40, "great"]
    np.testing.assert_allclose(vectors[1:], predictor.embed(texts, normalize=True), atol=1e-5)


def test_parquet_keeps_the_columns_of_the_table(predictor, table, tmp_path, ask, monkeypatch):
    monkeypatch.setattr("nlp_suite.data.table_writing.BATCH_ROWS", 1)  # the first row has no vector to tell the type
    assert ask(tmp_path / "v.parquet", input=table).rows == 5
    written = parquet.read_table(tmp_path / "v.parquet")
    assert written.column_names == ["id", "text", "embedding", "embedding_2"]
    assert str(written.schema.field("embedding_2").type.value_type) == "float"
    vectors = written.column("embedding_2").to_pylist()
    assert vectors[0] is None
    np.testing.assert_allclose(vectors[4], predictor.embed("great"), atol=1e-5)


def test_lines_texts_and_standard_input(predictor, tmp_path, ask, monkeypatch):
    (tmp_path / "lines.txt").write_text("a fine film\n\ndull\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a fine film\n\ndull\n")))
    expected = predictor.embed(["a fine film", "", "dull"])
    for given in ({"input": tmp_path / "lines.txt"}, {"texts": ["a fine film", "", "dull"]}, {"texts": ["-"]}):
        ask(tmp_path / "v.npy", **given)
        np.testing.assert_allclose(np.load(tmp_path / "v.npy"), expected, atol=1e-5)
    (tmp_path / "none.txt").write_text("")
    assert ask(tmp_path / "v.npy", input=tmp_path / "none.txt").rows == 0
    assert np.load(tmp_path / "v.npy").shape == (0, 16)
    ask(tmp_path / "v.parquet", ["dull"])
    assert parquet.read_table(tmp_path / "v.parquet").column_names == ["text", "embedding"]


@pytest.mark.parametrize(
    "output, options, error, message",
    [
        ("v.csv", {}, DataError, r"no vectors are written by the suffix '.csv' \(.npy, .parquet\)"),
        ("v.npy.gz", {}, DataError, "by the suffix '.gz'"),
        ("missing/v.npy", {}, DataError, "there is no folder"),
        ("v.npy", {"column": "body"}, DataError, "unknown column 'body'"),
        ("v.npy", {"texts": ["fine"]}, UsageError, "one of the three"),
    ],
)
def test_what_is_refused_leaves_no_file(table, tmp_path, ask, output, options, error, message):
    with pytest.raises(error, match=message):
        ask(tmp_path / output, input=table, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["new.jsonl"]


def test_what_is_read_is_not_written(tmp_path, ask):
    (tmp_path / "lines.npy").write_text("a fine film\n")
    with pytest.raises(UsageError, match="would be read and written at once"):
        ask(tmp_path / "lines.npy", input=tmp_path / "lines.npy")
    with pytest.raises(UsageError, match="--text 'body' is a column of a table"):
        ask(tmp_path / "v.npy", ["fine"], column="body")


def test_the_verb(run_dir, predictor, tmp_path, monkeypatch, capsys):
    from nlp_suite import cli

    with pytest.raises(SystemExit) as ended:
        cli.main(["embed", str(run_dir), "great", "dull", "--output", str(tmp_path / "v.npy"), "--normalize"])
    assert not ended.value.code and "v.npy: 2 rows" in capsys.readouterr().out
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), predictor.embed(["great", "dull"], True), atol=1e-5)
    monkeypatch.setattr("nlp_suite.tasks.shared.opening.task_at", lambda path: "language_model")
    with pytest.raises(ExportError, match="is no classifier but a language model"):
        embed_texts(run_dir, ["great"], None, tmp_path / "v.npy", column=None, normalize=False)


MEMORY = """
import resource, sys
from functools import partial
from pathlib import Path
import numpy as np
from nlp_suite.data.text_tables import TextLines
from nlp_suite.data.vector_writing import open_vectors_writer
from nlp_suite.export.predict_table import write_answers
output, read, peaks = Path(sys.argv[1]), 0, []
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def answers(texts):
    global read
    read += len(texts)
    if read > 30_000:
        peaks.append(peak())
    return [{"embedding": row} for row in np.full((len(texts), 384), read, "float32")]
lines, cells = TextLines(str(number) for number in range(120_000)), {"embedding": lambda answer: answer["embedding"]}
opened = partial(open_vectors_writer, size=384)
assert write_answers(lines, output, answers, cells, "embedding", prefix="", opened=opened).rows == 120_000
print(peak() - peaks[0])
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_memory_stays_flat(tmp_path, suffix):
    """90,000 vectors of 384 numbers more than the first 30,000 take 138 MB."""
    command = [sys.executable, "-c", MEMORY, str(tmp_path / f"v{suffix}")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 30
