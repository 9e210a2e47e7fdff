"""Pairs of texts with one label: from a table to stores, reports and tables of answers."""

import numpy as np
import pytest

from nlp_suite.config import load_experiment
from nlp_suite.data.inspect import inspect_experiment
from nlp_suite.data.kinds.base import corpus_kind
from nlp_suite.data.prepare import prepare
from nlp_suite.data.text_tables import TextTable
from nlp_suite.errors import DataError
from nlp_suite.tasks.sentiment.measure import StoreTexts
from nlp_suite.text.pairs import join_pair, split_pair
from nlp_suite.text.text_layer import END


def experiment_of(folder, **text):
    rows = [f"is it {i} ?\tit is {i % 7}\t{i % 2}" for i in range(40)]
    (folder / "train.tsv").write_text("question\tanswer\tlabel\n" + "\n".join(rows) + "\n")
    source = {"name": "files", "train": str(folder / "train.tsv"), "text_column": "question", "text_b_column": "answer"}
    tokens = {"tokenizer": {"name": "word", "min_count": 1}, "max_length": 12, **text}
    return load_experiment({"data": {"source": source, "cache": str(folder / "cache")}, "text": tokens})


def test_both_texts_are_in_one_row(tmp_path):
    experiment = experiment_of(tmp_path)
    prepared = prepare(experiment)
    store = prepared.stores["train"]
    assert prepared.assets.facts == {"text_pairs": True}
    words = prepared.text.id_to_token(store.tokens(0))
    first, second = split_pair(store.text(0).encode())
    assert " ".join(words) == f"{first.decode()} </s> {second.decode()}" and (store.tokens(0) == END).sum() == 1
    assert StoreTexts(store)[0] == f"{first.decode()} | {second.decode()}"
    np.testing.assert_array_equal(store.lengths, store.full_lengths)
    report = inspect_experiment(experiment)
    assert all(" | " in text for texts in report["examples"].values() for text in texts)
    again = prepare(experiment, text=prepared.text, labels=prepared.labels, facts=prepared.assets.facts)
    assert again.directory == prepared.directory


def test_a_length_that_is_too_short_for_two_texts_is_refused(tmp_path):
    with pytest.raises(DataError, match="text.max_length is 7; pairs of texts need 8 or more"):
        prepare(experiment_of(tmp_path, max_length=7))


def test_a_missing_column_is_named(tmp_path):
    experiment = experiment_of(tmp_path)
    (tmp_path / "train.tsv").write_text("question\treply\tlabel\na\tb\t1\n")
    with pytest.raises(DataError, match="text_b_column: unknown column 'answer'"):
        prepare(experiment)


def test_tables_to_predict_are_read_by_both_columns(tmp_path):
    experiment = experiment_of(tmp_path)
    (tmp_path / "asked.csv").write_text("id,question,answer\n1,why ?,because\n2,who ?,\n")
    table = TextTable(tmp_path / "asked.csv", corpus_kind("labelled"), experiment)
    assert [text for _, text in table.rows()] == [join_pair("why ?", "because"), join_pair("who ?", "")]
    (tmp_path / "asked.csv").write_text("id,question\n1,why ?\n")
    with pytest.raises(DataError, match="'answer'"):
        TextTable(tmp_path / "asked.csv", corpus_kind("labelled"), experiment)


@pytest.mark.parametrize("pair", [("a", "b"), ("", ""), ("a\tb", "c"), ("a\x1fb", "c\x1f"), ("é\n", "\x00")])
def test_a_pair_is_one_string_and_two_again(pair):
    expected = tuple(side.replace("\x1f", " ").encode() for side in pair)
    assert split_pair(join_pair(*pair).encode()) == expected


def test_a_tab_parts_what_a_user_writes():
    assert split_pair(b"a\tb\tc") == (b"a", b"b\tc") and split_pair(b"alone") == (b"alone", b"")
