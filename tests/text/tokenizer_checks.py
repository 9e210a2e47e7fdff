"""What every tokenizer must do, for all in the registry: a new one is tested by being there.

`run_tokenizer_checks` runs all of it for one name; `CHECKS` are its parts, functions of a name each.
"""

import functools
import tempfile
import time
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_suite.config import TextSettings
from nlp_suite.errors import TextError
from nlp_suite.registry import TOKENIZERS
from nlp_suite.text.text_layer import END, PAD, START, UNKNOWN, TextLayer
from nlp_suite.text.tokenizers.base import UNKNOWN_SURFACE
from nlp_suite.text.tokenizers.character import CharacterTokenizer
from tests.text.nasty import NASTY
from tests.text.preset_folders import preset_tokenizer

CORPUS = [
    "The film was not good, but the cast was great!",
    "I don't like it.<br /><br />It isn't a good film at all...",
    "A great film; the actors' work is unforgettable (10/10).",
    "Unwatchable. Unbelievable. Unforgettably bad acting and a bad plot",
    "Der Film war über alle Maßen gut, die Straße nicht.",
    "电影很好看 映画です 한국어 ภาษาไทย",
    "emoji 👍 and ❤️ and 👩‍👩‍👧",
    "<s> </s> <pad> <unk> <0x41> ##ing ▁a ▅ \ufffd \ufffd",
    "",
] * 3
SMALL_CORPUS_SETTINGS = {  # where the defaults are for large corpora
    "word": {"min_count": 1},
    "wordpiece": {"vocabulary_size": 400},
    "sentencepiece": {"vocabulary_size": 480, "character_coverage": 0.98},
}
VARIANTS = {  # label: settings; the labels are the names of the registry, and more for other settings that matter
    **{name: {"name": name, **SMALL_CORPUS_SETTINGS.get(name, {})} for name in TOKENIZERS.names() if name != "preset"},
    "unigram": {"name": "sentencepiece", "vocabulary_size": 480, "model": "unigram"},
}
PRESETS = {"preset wordpiece": "uncased", "preset byte_bpe": "byte_bpe", "preset unigram": "xlm_roberta"}
AS_OTHERS = {"add_start": False, "add_end": False, "strip_html": True, "collapse_spaces": True, "invisible": "drop"}
SPACES = [" ", "   ", "\n", "\t\t", "▁ ▁", "a ", " a", "  a  b  ", "    if x:\n        return  1\r\n"]
ANY = st.one_of(st.text(max_size=60), st.binary(max_size=60))
MARKUP = st.lists(
    st.sampled_from(
        ["<", ">", "/", "<s>", "</s>", "br", "<br />", "▁", "▅", "##", "'", "’", " ", "\x00", "the", "Film", "é", "İ"]
    ),
    max_size=20,
).map("".join)


@functools.cache
def trained(label: str, **settings) -> TextLayer:
    """The layer of one tokenizer of VARIANTS or PRESETS, or of another name of the registry, made once a session."""
    if label in PRESETS:
        with tempfile.TemporaryDirectory() as directory:
            tokenizer = preset_tokenizer(Path(directory), PRESETS[label])
        return TextLayer(TextSettings(tokenizer="preset", **AS_OTHERS | settings), tokenizer)
    tokenizer = VARIANTS.get(label, {"name": label})
    corpus = CORPUS if settings.get("collapse_spaces", True) else [*CORPUS, *SPACES * 3]
    return TextLayer.train(TextSettings(tokenizer=tokenizer, **settings), corpus)


def whole_rows(label: str, **settings) -> TextLayer:
    """`trained` with a limit that no text of the checks reaches."""
    return trained(label, max_length=30_000, **settings)


def round_trip(layer: TextLayer, texts) -> None:
    """decode(encode(x)) = normalise(x) where nothing is lost; encode(decode(encode(x))) = encode(x) always."""
    rows, normalised = layer.encode(texts), layer.normalise(texts)
    decoded = layer.decode(rows)
    for row in rows:
        assert row.dtype == np.int32 and len(row) >= 1
        assert not set(row.tolist()) & {PAD, START}
        assert row.tolist() == [END] or END not in row
    if layer.tokenizer.lossless:
        assert decoded == normalised
        assert not any(UNKNOWN in row for row in rows)
    elif isinstance(layer.tokenizer, CharacterTokenizer):
        known = set(layer.tokenizer.tokens[4:])
        assert decoded == ["".join(c if c in known else UNKNOWN_SURFACE for c in text) for text in normalised]
    for text, row, again in zip(texts, rows, layer.encode(decoded), strict=True):
        assert row.tolist() == again.tolist(), text[:100]


def check_special_ids(label: str) -> None:
    layer = whole_rows(label)
    assert layer.id_to_token([PAD, UNKNOWN, START, END]) == ["<pad>", "<unk>", "<s>", "</s>"]
    assert len(layer.tokenizer.tokens) == layer.vocabulary_size
    assert max(row.max() for row in layer.encode(CORPUS)) < layer.vocabulary_size


def check_nasty_strings_one_by_one_and_batched(label: str) -> None:
    layer, texts = whole_rows(label), list(NASTY.values())
    for name, text, row in zip(NASTY, texts, layer.encode(texts), strict=True):
        assert row.tolist() == layer.encode([text])[0].tolist(), name
        round_trip(layer, [text])


def check_kept_white_space(label: str) -> None:
    """Line breaks, tabs and runs of spaces come back as they were, from the start of a text to its end."""
    layer = whole_rows(label, collapse_spaces=False)
    round_trip(layer, [*NASTY.values(), *SPACES])
    normalised = layer.normalise(["\t a  \n"])
    assert normalised == ["\t a  \n"]
    if layer.tokenizer.lossless or isinstance(layer.tokenizer, CharacterTokenizer):
        assert layer.decode(layer.encode(normalised)) == normalised


def check_control_tokens_cannot_be_written(label: str) -> None:
    """With tags left in, so that a literal <s> reaches the tokenizer."""
    layer = whole_rows(label, strip_html=False, invisible="keep")
    round_trip(layer, list(NASTY.values()))
    for text in ("<s>", "</s>", "<pad>", "<s></s>", "a<s>b", "<0x41>", "<unk>"):
        row = layer.encode([text])[0]
        assert not {PAD, START, END} & set(row.tolist()), text
        assert layer.tokenizer.tokens.index("<s>") == START
        if layer.tokenizer.lossless:
            assert layer.decode([row]) == [text]


def check_batches_without_text(label: str) -> None:
    layer = whole_rows(label)
    assert [row.tolist() for row in layer.encode(["", " ", "<br />"])] == [[END]] * 3
    assert layer.decode([[END], [], [PAD, PAD]]) == ["", "", ""]
    assert layer.encode([]) == [] and layer.decode([]) == [] and layer.normalise([]) == []
    tokens, length = layer.graph().encode(np.array([], object))
    assert tokens.shape == (0, 0) and length.shape == (0,)


def check_in_graph(label: str) -> None:
    """Direct = batched = within another graph."""
    import tensorflow as tf

    layer, texts = whole_rows(label), [text for text in NASTY.values() if len(text) < 10_000]
    as_bytes = [text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass") for text in texts]
    tokens, length = layer.graph().encode(tf.constant(as_bytes))
    rows = layer.encode(texts)
    assert length.numpy().tolist() == [len(row) for row in rows]
    np.testing.assert_array_equal(tokens, layer.pad(rows))
    assert [text.decode() for text in layer.graph().decode(tokens, length).numpy()] == layer.decode(rows)

    within = tf.function(lambda text: layer.graph().encode(text)[0])
    np.testing.assert_array_equal(
        within(tf.constant(["The film <br />was"])), layer.pad(layer.encode(["The film was"]))
    )


def check_saved_is_loaded(label: str) -> None:
    layer = whole_rows(label)
    with tempfile.TemporaryDirectory() as directory:
        layer.save(directory)
        assert not list(Path(directory).glob(".*")), "no temporary file is left"
        loaded = TextLayer.load(directory)
    assert loaded.fingerprint == layer.fingerprint and loaded.settings == layer.settings
    assert loaded.vocabulary_size == layer.vocabulary_size
    texts = [*CORPUS, "something unseen ☃"]
    assert [row.tolist() for row in loaded.encode(texts)] == [row.tolist() for row in layer.encode(texts)]


def check_it_stays_where_a_training_begins(label: str) -> None:
    """Setting a seed makes TensorFlow drop its kernels, and with them what belongs to one of them alone."""
    layer = trained(label)
    before = layer.encode(CORPUS)
    import tensorflow as tf

    tf.random.set_seed(1)
    for row, again in zip(before, layer.encode(CORPUS), strict=True):
        np.testing.assert_array_equal(row, again)
    assert layer.decode(before)


def check_ids_outside_the_vocabulary(label: str) -> None:
    layer = whole_rows(label)
    for wrong in (-1, layer.vocabulary_size):
        for call in (lambda wrong=wrong: layer.decode([[4, wrong]]), lambda wrong=wrong: layer.id_to_token([wrong])):
            try:
                call()
            except TextError as error:
                assert f"{wrong} is outside the vocabulary" in str(error)
            else:
                raise AssertionError(f"{label} takes the id {wrong}")


def check_a_megabyte_is_quick(label: str) -> None:
    layer = whole_rows(label)
    layer.encode(["warm"])
    start = time.perf_counter()
    layer.encode([NASTY["a megabyte"], NASTY["a megabyte without a space"]])
    assert time.perf_counter() - start < 5


def check_random_text(label: str) -> None:
    layers = [whole_rows(label), whole_rows(label, strip_html=False, invisible="keep")]

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(texts=st.lists(st.one_of(ANY, MARKUP), min_size=1, max_size=4))
    def run(texts):
        for layer in layers:
            round_trip(layer, texts)

    run()


def check_random_text_with_kept_white_space(label: str) -> None:
    layer = whole_rows(label, collapse_spaces=False)

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(texts=st.lists(st.one_of(ANY, MARKUP, st.text(" \t\n▁a", max_size=8)), min_size=1, max_size=4))
    def run(texts):
        round_trip(layer, texts)

    run()


CHECKS = (
    check_special_ids,
    check_nasty_strings_one_by_one_and_batched,
    check_kept_white_space,
    check_control_tokens_cannot_be_written,
    check_batches_without_text,
    check_in_graph,
    check_saved_is_loaded,
    check_it_stays_where_a_training_begins,
    check_ids_outside_the_vocabulary,
    check_a_megabyte_is_quick,
    check_random_text,
    check_random_text_with_kept_white_space,
)


PRESET_CHECKS = (  # of those whose decoding does not give every text back
    check_special_ids,
    check_batches_without_text,
    check_in_graph,
    check_saved_is_loaded,
    check_it_stays_where_a_training_begins,
    check_ids_outside_the_vocabulary,
    check_a_megabyte_is_quick,
)


def run_tokenizer_checks(name: str) -> None:
    """All checks of one tokenizer of the registry."""
    for check in CHECKS:
        check(name)
