"""Tables of texts that a model is asked about: which column is read, and how, as the model's config has it."""

import math

import pytest

from nlp_suite.config import load_experiment
from nlp_suite.data.kinds.base import corpus_kind
from nlp_suite.data.prepare import open_source
from nlp_suite.data.table_writing import open_table_writer
from nlp_suite.data.text_tables import TextLines, TextTable, added_columns, column_of, is_table, settings_for
from nlp_suite.errors import DataError
from nlp_suite.text.pairs import join_pair

LABELLED, PAIRS = corpus_kind("labelled"), corpus_kind("pairs")


def trained_on(**source):
    return load_experiment({"data": {"source": {"name": "files", "train": "train.tsv", **source}}})


def written(path, columns, rows):
    with open_table_writer(path, columns) as table:
        for row in rows:
            table.write(row)
    return path


def texts(table):
    return [text for _, text in table.rows()]


def test_a_table_is_known_by_its_suffix(tmp_path):
    tables = ["a.csv", "a.TSV", "a.jsonl.gz", "a.parquet", "a.xlsx", "a.json"]
    lines = ["a.txt", "a.txt.gz", "a", "a.gz", "a.md"]
    assert all(is_table(tmp_path / name) for name in tables) and not any(is_table(tmp_path / name) for name in lines)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "csv.gz"])
def test_the_column_is_the_runs_own_and_all_columns_are_kept(tmp_path, suffix):
    path = written(
        tmp_path / f"new.{suffix}", ["id", "review", "text"], [["7", "fine", "no"], ["8", 'a "dull", film', ""]]
    )
    table = TextTable(path, LABELLED, trained_on(text_column="review"))
    assert table.columns == ["id", "review", "text"]
    assert list(table.rows()) == [(["7", "fine", "no"], "fine"), (["8", 'a "dull", film', ""], 'a "dull", film')]
    assert texts(TextTable(path, LABELLED)) == ["no", ""], "without a config the column is called as the field"
    assert texts(TextTable(path, LABELLED, trained_on(text_column="review"), 0)) == ["7", "8"]


def test_the_first_field_of_the_models_kind_is_read(tmp_path):
    path = written(tmp_path / "new.csv", ["target", "english"], [["fein", "fine"]])
    experiment = load_experiment(
        {"task": "translation", "data": {"source": {"name": "files", "train": "t.csv", "source_column": "english"}}}
    )
    assert texts(TextTable(path, PAIRS, experiment)) == ["fine"]


def test_a_key_that_only_later_objects_have_is_a_column_too(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n' * 1500 + '{"a": 2, "late": "x"}\n')
    table = TextTable(path, LABELLED, column="late")
    assert table.columns == ["a", "late"] and list(table.rows())[1499:] == [([1, None], None), ([2, "x"], "x")]
    source = {"name": "files", "train": str(path), "text_column": "late", "label_column": "a"}
    experiment = load_experiment({"data": {"source": source, "missing": "drop"}})
    assert list(open_source(experiment).examples("train")) == [{"text": "x", "label": "2"}]


def test_a_model_of_pairs_reads_two_columns(tmp_path):
    rows = [["a", "one", "two"], ["b", None, "two"], ["c", "one", None]]
    path = written(tmp_path / "new.jsonl", ["id", "question", "answer"], rows)
    experiment = trained_on(train="train.jsonl", text_column="question", text_b_column="answer")
    assert texts(TextTable(path, LABELLED, experiment)) == [join_pair("one", "two"), None, None]
    with pytest.raises(DataError, match="read from the column 'answers'"):
        TextTable(path, LABELLED, trained_on(text_column="question", text_b_column="answers"))


def test_columns_by_number_mean_no_header_as_in_training(tmp_path):
    (tmp_path / "new.tsv").write_text('1\tfine "film\n0\tdull\n')
    table = TextTable(tmp_path / "new.tsv", LABELLED, trained_on(text_column=1, label_column=0))
    assert table.columns == ["column_0", "column_1"] and texts(table) == ['fine "film', "dull"]
    (tmp_path / "named.tsv").write_text("label\tbody\n1\tfine film\n0\tdull\n")
    assert texts(TextTable(tmp_path / "named.tsv", LABELLED, None, 1)) == ["fine film", "dull"], "a number of the user"


def test_how_a_file_is_written_is_taken_from_the_run_where_the_suffix_is_the_same(tmp_path):
    experiment = trained_on(train="train.csv", delimiter="#")
    (tmp_path / "new.csv").write_text("text#label\nfine, this#1\n")
    written(tmp_path / "new.tsv", ["text", "label"], [["fine # this", "1"]])
    assert texts(TextTable(tmp_path / "new.csv", LABELLED, experiment)) == ["fine, this"]
    assert texts(TextTable(tmp_path / "new.tsv", LABELLED, experiment)) == ["fine # this"]
    assert settings_for(tmp_path / "new.csv", experiment)["delimiter"] == "#"
    assert {"train", "validation", "test"}.isdisjoint(settings_for(tmp_path / "new.csv", experiment))
    assert "delimiter" not in settings_for(tmp_path / "new.parquet", trained_on(train="parts", delimiter="#"))
    assert settings_for(tmp_path / "new.csv", load_experiment({})) == {}, "another source"


def test_a_missing_text_is_none_and_an_empty_one_is_a_text(tmp_path):
    path = written(tmp_path / "new.jsonl", ["text"], [["fine"], [None], [""], [math.nan]])
    assert texts(TextTable(path, LABELLED)) == ["fine", None, "", None]


def test_what_cannot_be_read_is_refused(tmp_path):
    path = written(tmp_path / "new.csv", ["review", "label"], [["fine", "1"]])
    with pytest.raises(
        DataError, match=r"new.csv: the texts are read from the column 'reviews': .* mean 'review'.*--text"
    ):
        TextTable(path, LABELLED, trained_on(text_column="reviews"))
    with pytest.raises(DataError, match="columns go from 0 to 1"):
        TextTable(path, LABELLED, None, 2)
    (tmp_path / "twice.csv").write_text("text,text\na,b\n")
    with pytest.raises(DataError, match="2 columns are called so"):
        TextTable(tmp_path / "twice.csv", LABELLED)
    lists = written(tmp_path / "lists.jsonl", ["text"], [["fine"], [["a", "b"]]])
    with pytest.raises(DataError, match=r"lists.jsonl, line 2: 'text' must be a string"):
        texts(TextTable(lists, LABELLED))


def test_names_of_added_columns_are_free():
    assert added_columns(["label", "p"], ["text", "label"]) == ["predicted_label", "predicted_p"]
    taken = ["predicted_label", "predicted_label_2"]
    assert added_columns(["label", "label"], taken) == ["predicted_label_3", "predicted_label_4"]


def test_lines_and_columns_of_the_command_line():
    assert list(TextLines(["a", "b"]).rows()) == [(["a"], "a"), (["b"], "b")]
    assert [column_of(given) for given in (None, "2", "body")] == [None, 2, "body"]
