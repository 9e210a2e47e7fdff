"""Pairs in two stores: row by row the same sentences, one vocabulary or two, nothing held out that training has seen."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from nlp_suite.cli import app
from nlp_suite.config import DataSettings
from nlp_suite.data.kinds.base import corpus_kind
from nlp_suite.data.kinds.pairs.store import PairStore
from nlp_suite.data.prepare import open_texts, prepare
from nlp_suite.data.selection import Selection
from nlp_suite.errors import DataError
from nlp_suite.text.text_layer import END

PAIRS = [("the dog sleeps", "der Hund schläft"), ("the cat runs away", "die Katze läuft weg"), ("", "leer"), ("a", "")]


def decoded(store, text, target_text):
    sources = text.decode([store.source.tokens(row) for row in range(len(store))])
    return list(zip(sources, target_text.decode([store.target.tokens(row) for row in range(len(store))])))


def words(layer):
    return set(layer.id_to_token(range(layer.vocabulary_size)))


def test_rows_of_both_stores_are_the_pairs_in_order(pairs):
    prepared = prepare(pairs(PAIRS, "text.lowercase=false", validation=PAIRS[:1], test=PAIRS * 300))
    store = prepared.stores["train"]
    assert isinstance(store, PairStore) and len(store) == 4, "empty sides are kept: they are left out at batch time"
    assert decoded(store, prepared.text, prepared.text) == PAIRS
    assert [(store.source.text(i), store.target.text(i)) for i in range(4)] == PAIRS
    assert store.lengths.tolist() == store.full_lengths.tolist() == [[4, 4], [5, 5], [1, 2], [2, 1]]
    assert all(side.tokens(i)[-1] == END for side in (store.source, store.target) for i in range(4))
    assert decoded(prepared.stores["test"], prepared.text, prepared.text) == PAIRS * 300, "more than one chunk"
    assert prepared.target_text is prepared.text and prepared.labels == []
    assert {"dog", "Hund"} <= words(prepared.text)
    assert not (prepared.directory / "target_text").exists()


def test_a_vocabulary_of_the_targets_own(pairs):
    experiment = pairs(PAIRS, "target_text.lowercase=false", validation=PAIRS[:1])
    said = []
    prepared = prepare(experiment, progress=said.append)
    assert said[:2] == [
        f"training the word tokenizer of the {side} on the training split" for side in ("sources", "targets")
    ]
    assert "train: 4 pairs, 12 and 12 tokens" in said
    assert {"dog", "sleeps"} <= words(prepared.text) and "hund" not in words(prepared.text)
    assert {"Hund", "schläft"} <= words(prepared.target_text) and "dog" not in words(prepared.target_text)
    assert decoded(prepared.stores["train"], prepared.text, prepared.target_text) == PAIRS
    again = prepare(experiment)
    assert again.directory == prepared.directory and again.target_text.fingerprint == prepared.target_text.fingerprint
    assert prepare(pairs(PAIRS, validation=PAIRS[:1])).directory != prepared.directory
    assert prepare(pairs(PAIRS, "target_text.max_length=9", validation=PAIRS[:1])).directory != prepared.directory


@pytest.mark.parametrize("own", [{}, {"target_text": {}}])
def test_text_layers_that_are_given_are_used(pairs, own):
    first = prepare(pairs(PAIRS, validation=PAIRS[:1], **own))
    layers = {"text": first.text, "target_text": first.target_text}
    assert prepare(pairs(PAIRS, validation=PAIRS[:1], **own), **layers, labels=[]).directory == first.directory
    other = prepare(pairs(PAIRS[:2], validation=PAIRS[:1], **own), **layers, labels=[])
    assert [layer.fingerprint for layer in open_texts(other.directory)] == [
        made.fingerprint for made in layers.values()
    ]
    assert (other.target_text is other.text) == (not own)


def test_only_the_text_layer_of_the_sources_can_be_given(pairs):
    given = prepare(pairs([("dog dog", "x")], validation=PAIRS[:1])).text
    prepared = prepare(pairs(PAIRS, validation=PAIRS[:1], target_text={}), text=given)
    assert prepared.text.fingerprint == given.fingerprint and "hund" in words(prepared.target_text)


def test_truncation_is_told(pairs):
    prepared = prepare(pairs(PAIRS, "text.max_length=4", "target_text.max_length=3", validation=PAIRS[:1]))
    store = prepared.stores["train"]
    assert store.lengths.tolist() == [[4, 3], [4, 3], [1, 2], [2, 1]]
    assert store.full_lengths.tolist() == [[4, 4], [5, 5], [1, 2], [2, 1]]
    facts = prepared.statistics["train"]
    assert facts["truncated_share"] == 0.25 and facts["target"]["truncated_share"] == 0.5
    assert facts["pairs"] == 4 and facts["length_ratio"] == 1.0
    assert facts["target"]["tokens"] == 9 and facts["tokens"] == 11


@given(
    st.lists(st.sampled_from(["a", "b", "c ", " c", "d", "e  e", "e e"]), min_size=2, max_size=40),
    st.floats(0.01, 0.99),
    st.integers(0, 3),
)
@settings(deadline=None, max_examples=100)
def test_what_is_held_out_has_no_source_of_training(sources, part, seed):
    kind, data = corpus_kind("pairs"), DataSettings(validation=part, seed=seed)
    rows = [{"source": text, "target": "x"} for text in sources]
    source = SimpleNamespace(kind=kind, examples=lambda split: iter(rows), share_read=lambda split: None)
    train = Selection(source, "train")
    spaced = [" ".join(s.split()) for s in sources]
    if len(set(spaced)) < 2:
        with pytest.raises(DataError, match="nothing can be held out"):
            kind.split(data, train)
        return
    kept, held_out = kind.split(data, train)
    assert sorted([*kept, *held_out]) == list(range(len(sources))) and len(kept) and len(held_out)
    assert not {spaced[i] for i in kept} & {spaced[i] for i in held_out}
    assert [again.tolist() for again in kind.split(data, train)] == [kept.tolist(), held_out.tolist()]


def test_the_held_out_part_is_random_and_as_large_as_asked(pairs):
    many = [(f"s {i // 2}", f"t {i}") for i in range(400)]
    prepared = prepare(pairs(many, data={"validation": 0.1}))
    held_out = prepared.stores["validation"]
    assert len(held_out) == 40 and len(prepared.stores["train"]) == 360
    numbers = [int(held_out.source.text(i)[2:]) for i in range(40)]
    assert np.mean(numbers) == pytest.approx(100, abs=30) and numbers == sorted(numbers)
    other = prepare(pairs(many, data={"validation": 0.1, "seed": 1})).stores["validation"]
    assert [other.source.text(i) for i in range(40)] != [held_out.source.text(i) for i in range(40)]


def test_a_limit_draws_rows_at_random(pairs):
    many = [(f"s {i}", f"t {i}") for i in range(300)]
    stores = prepare(pairs(many, validation=many[:3], data={"limit": 20})).stores
    numbers = [int(stores["train"].source.text(i)[2:]) for i in range(len(stores["train"]))]
    assert len(numbers) == 20 and numbers == sorted(numbers) and max(numbers) > 100
    assert len(stores["validation"]) == 3
    assert [stores["train"].target.text(i) for i in range(20)] == [f"t {i}" for i in numbers]
    held_out = prepare(pairs(many, data={"limit": 20, "validation": 0.5})).stores
    assert {split: len(store) for split, store in held_out.items()} == {"train": 20, "validation": 20}


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["text.add_end=false"], "translation needs text.add_end: true .* and text.add_start: false"),
        (["target_text.add_start=true"], "translation needs target_text.add_end: true"),
    ],
)
def test_what_cannot_be_used_is_named(pairs, tmp_path, overrides, message):
    with pytest.raises(DataError, match=message):
        prepare(pairs(PAIRS, *overrides, validation=PAIRS[:1]))
    assert not list(tmp_path.glob("cache/*"))


@pytest.mark.parametrize(
    "given, message",
    [
        ([("", " "), (" ", "")], "^all 2 pairs of the training split are empty"),
        ([("", "x"), (" ", "")], "^the sources of all 2 pairs of the training split are empty"),
        ([("a", ""), ("a ", " ")], "^the targets of all 2 pairs of the training split are empty"),
        ([("a", "x"), ("a ", "")], "nothing can be held out .* 2 pairs and 1 different source;"),
    ],
)
def test_nothing_to_learn_from_is_named(pairs, given, message):
    with pytest.raises(DataError, match=message):
        prepare(pairs(given))


def test_sides_of_different_length_are_no_pair_store(pairs):
    directory = prepare(pairs(PAIRS, validation=PAIRS[:1])).directory
    (directory / "train" / "source").rename(directory / "aside")
    (directory / "validation" / "source").rename(directory / "train" / "source")
    with pytest.raises(ValueError, match="1 sources, but 4 targets"):
        PairStore(directory / "train")


def test_the_command_line_shows_both_sides(pairs, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    (tmp_path / "e.yaml").write_text(pairs(PAIRS, validation=PAIRS[:1]).to_yaml())
    done = CliRunner().invoke(app, ["prepare", str(tmp_path / "e.yaml")])
    assert done.exit_code == 0, done.output
    assert all(part in done.stdout for part in ("pairs", "train, source", "train, target", "validation, target"))
