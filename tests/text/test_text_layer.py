"""The layer as a whole: rows, padding, saving, loading, errors, equal in every process."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from nlp_suite.config import TextSettings, load_experiment
from nlp_suite.errors import ConfigError, TextError
from nlp_suite.registry import TOKENIZERS
from nlp_suite.text.text_layer import END, START, TextLayer
from nlp_suite.text.tokenizers.byte import ByteTokenizer
from tests.text.tokenizer_checks import CORPUS, VARIANTS, trained, whole_rows


@pytest.mark.parametrize("truncation", ["head", "tail", "head_tail"])
@pytest.mark.parametrize("special", [(False, False), (True, False), (False, True), (True, True)])
def test_truncation_against_python(truncation, special):
    """Graph ops against slices of the untruncated row, for every length around the limit."""
    untruncated = trained("word", max_length=1000)
    settings = {"max_length": 7, "truncation": truncation, "add_start": special[0], "add_end": special[1]}
    truncated = TextLayer(untruncated.settings.model_copy(update=settings), untruncated.tokenizer)
    texts = [" ".join(f"{['the', 'film', 'good', 'cast'][i % 4]}" for i in range(n)) for n in range(12)]
    rows, full = truncated.encode_with_lengths(texts)
    start, end = [START] * special[0], [END] * special[1]
    room = 7 - len(start) - len(end)
    for n, (text, row) in enumerate(zip(texts, rows, strict=True)):
        ids = untruncated.encode([text])[0].tolist() if n else []
        if n > room:
            head = {"head": room, "tail": 0, "head_tail": room - room // 2}[truncation]
            ids = ids[:head] + (ids[head - room :] if head < room else [])
        assert row.tolist() == ([*start, *ids, *end] or [END])
        assert full[n] == max(n + len(start) + len(end), 1)


def test_special_tokens_alone_when_there_is_no_room():
    layer = trained("word", max_length=2, add_start=True, add_end=True)
    assert layer.encode(["the film"])[0].tolist() == [START, END]
    assert layer.decode([[START, END]]) == [""]


def test_tail_keeps_the_end_of_a_text_longer_than_max_characters():
    text = "good " * 50 + "bad"
    assert trained("word", max_characters=20, truncation="tail").normalise([text]) == ["d good good good bad"]
    assert trained("word", max_characters=20, truncation="head").normalise([text]) == ["good good good good"]
    ends = trained("word", max_characters=11, truncation="head_tail").normalise([text, "short", "elevenchars"])
    assert ends == ["good g d bad", "short", "elevenchars"]


def test_pad():
    layer = trained("byte")
    np.testing.assert_array_equal(layer.pad([[5], [6, 7]]), [[5, 0], [6, 7]])
    assert layer.pad([[5]], 4).tolist() == [[5, 0, 0, 0]]
    assert layer.pad([]).shape == (0, 0) and layer.pad([], 3).shape == (0, 3)
    with pytest.raises(ValueError, match="3 tokens, more than length=2"):
        layer.pad([[1, 2, 3]], 2)


@pytest.mark.slow
def test_another_process_trains_the_same_layer_quietly_and_loads_without_tensorflow(tmp_path):
    """Fingerprints agree between processes with other hash seeds; sentencepiece and its op say nothing."""
    names = list(VARIANTS)
    program = (
        "import sys\nfrom tests.text.tokenizer_checks import whole_rows\n"
        f"for name in {names}:\n"
        "    layer = whole_rows(name)\n"
        "    layer.encode(['a film'])\n"
        "    print(layer.fingerprint)\n"
        f"    layer.save({str(tmp_path)!r} + '/' + name)\n"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [whole_rows(name).fingerprint for name in names]
    assert "normalizer" not in done.stderr and "trainer" not in done.stderr

    program = (
        "import sys\nfrom nlp_suite.text.text_layer import TextLayer\n"
        f"print([TextLayer.load({str(tmp_path)!r} + '/' + name).vocabulary_size for name in {names}])\n"
        "assert 'tensorflow' not in sys.modules and 'keras_hub' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [whole_rows(name).vocabulary_size for name in names]


def test_fingerprint_changes_with_settings_and_vocabulary():
    layer = trained("word")
    other = TextLayer.train(layer.settings, [*CORPUS, "another"])
    assert len({layer.fingerprint, trained("word", lowercase=False).fingerprint, other.fingerprint}) == 3


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda d: (d / "text.json").unlink(), "text.json is missing"),
        (lambda d: (d / "text.json").write_text("{"), "text.json is damaged"),
        (lambda d: (d / "text.json").write_text('{"schema": 99, "assets": {}}'), "schema 99; this version reads 1"),
        (lambda d: (d / "vocabulary.txt").unlink(), "vocabulary.txt' is missing"),
        (lambda d: (d / "vocabulary.txt").write_text("a\n"), "vocabulary.txt' is damaged"),
    ],
)
def test_missing_or_damaged_files(tmp_path, damage, message):
    trained("word").save(tmp_path)
    damage(tmp_path)
    with pytest.raises(TextError, match=message):
        TextLayer.load(tmp_path)


def test_a_directory_that_is_none(tmp_path):
    with pytest.raises(TextError, match="no text layer in"):
        TextLayer.load(tmp_path / "nowhere")


@pytest.mark.parametrize("texts", [[], [""], ["<br />", "\x00 "]])
def test_nothing_to_train_on(texts):
    with pytest.raises(TextError, match="there is no text, or every text is empty"):
        TextLayer.train(TextSettings(), texts)


def test_untrained_tokenizer():
    with pytest.raises(TextError, match=r"WordTokenizer is not trained: use TextLayer\.train"):
        TextLayer(TextSettings(), TOKENIZERS.get("word")())


def test_one_text_instead_of_a_list():
    with pytest.raises(TypeError, match="a list of texts is needed"):
        trained("word").encode("the film")


def test_unknown_tokenizer_and_settings():
    with pytest.raises(ConfigError, match="unknown tokenizer 'sentencepice': did you mean 'sentencepiece'"):
        load_experiment({"text": {"tokenizer": "sentencepice"}})
    with pytest.raises(ConfigError, match="unknown key 'min_cuont': did you mean 'min_count'"):
        load_experiment({"text": {"tokenizer": {"name": "word", "min_cuont": 1}}})
    assert set(TOKENIZERS.names()) >= {"byte", "character", "sentencepiece", "word", "wordpiece"}


@pytest.mark.parametrize("truncation", ["head", "tail", "head_tail"])
def test_a_cut_in_characters_is_flagged_as_one_in_tokens_is(truncation):
    """Lengths before and after truncation differ exactly where something was left out, by whichever limit."""
    limits = {"max_length": 6, "max_characters": 20, "truncation": truncation}
    layer = TextLayer(trained("word").settings.model_copy(update=limits), trained("word").tokenizer)
    texts = ["good film", "good " * 4, "a b c d e f g", "x" * 21, " " * 21, "é" * 20, b"\xff" * 21, "good " * 5]
    rows, full = layer.encode_with_lengths(texts)
    assert (full > [len(row) for row in rows]).tolist() == [False, False, True, True, True, False, True, True]
    assert full[2] == 7 and full[3] == len(rows[3]) + 1, "what is not tokenized counts one"


def test_many_layers_in_a_process_give_no_warning_of_retracing(caplog, monkeypatch):
    """TensorFlow counts tracings by code: five layers that trace once each looked to it like one that traces five times."""
    import tensorflow as tf
    from tensorflow.python.eager.polymorphic_function import polymorphic_function

    # It warns twice of a function, and tests before this one may have had that.
    detectors = polymorphic_function._FrequentTracingDetectorManager()
    monkeypatch.setattr(polymorphic_function, "_frequent_tracing_detector_manager", detectors)
    logger = tf.get_logger()
    caplog.set_level("WARNING", logger.name)
    logger.addHandler(caplog.handler)
    try:
        for _ in range(5):
            layer = TextLayer(TextSettings(), ByteTokenizer())
            layer.encode(["a film"])
        assert "retracing" not in caplog.text
        for _ in range(5):  # what a layer does not do
            graph = TextLayer(TextSettings(), ByteTokenizer()).graph()
            graph.encode_flat(tf.constant(["a film"]))
        assert "retracing" in caplog.text, "the warning is heard at all"
    finally:
        logger.removeHandler(caplog.handler)
