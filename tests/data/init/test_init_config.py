"""`init_config`: from files as users have them to a config that reads them, or to a question or refusal."""

import io
import json
import random
import sys
import tracemalloc

import pandas as pd
import pytest

import nlp_suite
from nlp_suite import cli
from nlp_suite.config import load_experiment
from nlp_suite.data.init import init_config
from nlp_suite.data.prepare import open_source, splits
from nlp_suite.errors import DataError, NlpSuiteError, UsageError
from tests.data.init.words import DEUTSCH, WORDS


def sentences(rows, words=WORDS, seed=0):
    generator = random.Random(seed)
    return [", ".join(" ".join(generator.choices(words, k=6)) for _ in range(2)) + f' "{i}"' for i in range(rows)]


def reviews(rows=60, **columns):
    labels = ["pos" if i % 3 else "neg" for i in range(rows)]
    return pd.DataFrame({"review": sentences(rows), "sentiment": labels} | columns)


LABELS_LIKE = ["x", "y", "z"] * 20


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def examples_of(path, split="train"):
    experiment = load_experiment(path)
    return list(open_source(experiment).examples(split))


WRITERS = {
    "a.csv": lambda frame, path: frame.to_csv(path, index=False),
    "b.csv": lambda frame, path: frame.to_csv(path),
    "c.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "d.csv": lambda frame, path: frame.to_csv(path, index=False, sep=";", encoding="utf-16", lineterminator="\r\n"),
    "e.csv": lambda frame, path: frame.to_csv(path, index=False, header=False),
    "f.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "g.jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "h.json": lambda frame, path: frame.to_json(path, orient="records"),
    "i.parquet": lambda frame, path: frame.to_parquet(path),
    "j.xlsx": lambda frame, path: frame.to_excel(path, index=False),
    "k.txt": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_table_of_pandas_gets_a_config_that_reads_it(name, folder):
    frame = reviews()
    WRITERS[name](frame, folder / name)
    result = nlp_suite.init_config(name)
    assert result.path.name == f"{name[0]}.yaml" and result.next == f"nlp-suite train {name[0]}.yaml"
    assert examples_of(result.path) == [
        {"text": text, "label": label} for text, label in frame.itertuples(index=False, name=None)
    ]
    assert load_experiment(result.path).task.name == "sentiment" and result.seen.train_labels == {"neg": 20, "pos": 40}
    assert "2 labels: 'pos' 66.7%, 'neg' 33.3%" in result.summary


def test_what_is_wrong_with_a_table_is_said_and_configured(folder):
    frame = reviews(90)
    frame.loc[3:5, "sentiment"], frame.loc[7, "review"] = None, None
    frame.loc[20:29, "sentiment"] = "POS "
    frame.loc[40, ["review", "sentiment"]] = [frame.review[41], "neg"]
    frame.to_csv("dirty.csv", index=False)
    frame[10:30].to_csv("test.csv", index=False)
    result = init_config("dirty.csv", test="test.csv")
    data = load_experiment(result.path).data
    assert data.missing == "drop" and data.labels_normalise
    said = "\n".join(result.summary)
    assert "train: 4 rows were left out (3 without label, 1 without text)" in said
    assert "'POS ' and 'pos'" in said and "1 training example (1.2%) repeats an earlier one" in said
    assert "1 text stands there with different labels" in said
    assert "20 examples of test (100.0%) stand in train, too: figures measured on them flatter" in said
    text = result.path.read_text("utf-8")
    assert all(line in text for line in (f"# {line}" for line in result.summary)), "the config says it too"
    assert (
        "missing: drop              # rows that lack something are left out: train 3 without label, 1 without text"
        in text
    )
    experiment = load_experiment(result.path)
    labels = {example["label"] for example in splits(experiment, open_source(experiment))["train"]}
    assert labels == {"pos", "neg"}


def test_pairs_running_text_and_classes(folder):
    pd.DataFrame({"en": sentences(50), "de": sentences(50, DEUTSCH)}).to_csv("pairs.tsv", sep="\t", index=False)
    pairs = init_config("pairs.tsv")
    assert load_experiment(pairs.path).task.name == "translation"
    assert set(examples_of(pairs.path)[0]) == {"source", "target"}
    (folder / "book.txt").write_text("\n\n".join(sentences(200)), "utf-8")
    book = init_config("book.txt")
    assert load_experiment(book.path).task.name == "language_model" and len(examples_of(book.path)) == 399
    for label in ("neg", "pos"):
        (folder / "films" / label).mkdir(parents=True)
        for i, text in enumerate(sentences(5, seed=len(label) + ord(label[0]))):
            (folder / "films" / label / f"{i}.txt").write_text(text, "utf-8")
    films = init_config("films")
    assert load_experiment(films.path).task.name == "sentiment" and len(examples_of(films.path)) == 10
    running = init_config("films", task="language_model", output="lm.yaml")
    assert load_experiment(running.path).task.name == "language_model" and set(examples_of(running.path)[0]) == {"text"}
    for side, words in (("en", WORDS), ("de", DEUTSCH)):
        (folder / f"train.{side}").write_text("\n".join(sentences(40, words)) + "\n", "utf-8")
    two = init_config("train.en")
    assert two.path.name == "train.yaml"
    assert load_experiment(two.path).data.source.name == "parallel" and len(examples_of(two.path)) == 40


@pytest.mark.parametrize(
    "frame, options, error, words",
    [
        (reviews(1), {}, DataError, "t.csv has 1 row: nothing can be learned from fewer than two"),
        (reviews(0), {}, DataError, "t.csv has no rows"),
        (
            reviews(sentiment="pos"),
            {},
            DataError,
            "all 60 rows have the label 'pos', and a classifier needs two or more",
        ),
        (reviews(review="the very same words of a text again"), {}, DataError, "all 60 texts of 'text' are equal"),
        (reviews(review="good"), {"text": "review"}, DataError, "all 60 texts of 'text' are equal"),
        (reviews(review=" "), {"text": "review"}, DataError, r"no training rows \(.*60 without text\)"),
        (
            reviews(sentiment=[f"s{i}" for i in range(60)]),
            {},
            DataError,
            "'sentiment' has 60 different values in 60 rows, so it",
        ),
        (
            reviews(number=[f"n{i}" for i in range(60)]),
            {"label": "number"},
            DataError,
            "column of labels has 60 different values in 60 rows .*that is no label column",
        ),
        (
            reviews(body=sentences(60, seed=1)),
            {"text": "bdoy"},
            UsageError,
            "--text: unknown column 'bdoy': did you mean 'body'",
        ),
        (reviews(answer=sentences(60, seed=1)).drop(columns="sentiment"), {}, UsageError, "two columns look like text"),
        (reviews(), {"task": "translation"}, UsageError, "look like a side of a translation: 1, needed: 2"),
        (reviews(), {"task": "sentimnt"}, NlpSuiteError, "unknown task 'sentimnt': did you mean 'sentiment'"),
        (reviews(), {"validation": "none.csv"}, DataError, "'none.csv' does not exist"),
    ],
)
def test_tables_that_are_refused_leave_nothing_behind(frame, options, error, words, folder):
    frame.to_csv("t.csv", index=False)
    with pytest.raises(error, match=f"(?s){words}"):
        init_config("t.csv", **options)
    assert [path.name for path in folder.iterdir()] == ["t.csv"]


def test_labels_that_are_lists_or_numbers_and_two_texts_a_row():
    frame = reviews(rating=[1 + i / 15 for i in range(60)], tags=[["a", "b"][: 1 + i % 2] for i in range(60)])
    frame[["review", "rating"]].to_csv("numbers.csv", index=False)
    frame[["review", "tags"]].to_json("lists.jsonl", orient="records", lines=True)
    reviews(question=sentences(60, seed=1)).to_csv("two.csv", index=False)
    numbers, lists = init_config("numbers.csv"), init_config("lists.jsonl", label="tags")
    assert (
        load_experiment(numbers.path).task.problem == "regression" and "60 different numbers in 60 rows" in numbers.text
    )
    assert load_experiment(lists.path).task.problem == "multi_label" and lists.seen.train_labels == {"a": 60, "b": 30}
    two = init_config("two.csv", text="review", text_b="question")
    assert set(examples_of(two.path)[0]) == {"text", "text_b", "label"} and set(two.seen.texts) == {"text", "text_b"}


@pytest.mark.parametrize("separator", [",", "; ", "|"])
def test_several_labels_in_a_cell_are_found_with_what_stands_between_them(separator):
    names = [[], ["plot"], ["plot", "cast"], ["score", "plot", "cast"], ["cast"], ["cast", "plot"]] * 10
    reviews(60, sentiment=[separator.join(each) for each in names]).to_csv("t.csv", index=False)
    found = init_config("t.csv")
    assert load_experiment(found.path).task.problem == "multi_label" and len(found.seen.train_labels) == 3
    assert found.seen.train_rows == 60 and [row["label"] for row in examples_of(found.path)] == names
    assert ("label_separator" in found.text) == (separator != ",")


def test_whole_numbers_that_are_called_stars_have_an_order():
    stars = [1 + i % 5 for i in range(60)]
    reviews(sentiment=stars).to_csv("any.csv", index=False)
    reviews().drop(columns="sentiment").assign(Stars=stars).to_csv("stars.csv", index=False)
    problems = [load_experiment(init_config(name).path).task.problem for name in ("any.csv", "stars.csv")]
    assert problems == ["single_label", "ordinal"]


def test_a_label_of_another_split_that_train_lacks_is_refused():
    reviews().to_csv("t.csv", index=False)
    reviews(sentiment=["pos", "new"] * 30).to_csv("test.csv", index=False)
    with pytest.raises(DataError, match=r"test has 1 labels that train lacks \('new'\), in 30 rows"):
        init_config("t.csv", test="test.csv")


def test_a_wrong_form_for_a_task_is_refused(folder):
    (folder / "book.txt").write_text("\n".join(sentences(20)), "utf-8")
    with pytest.raises(UsageError, match="book.txt is read as text, and the task needs labels"):
        init_config("book.txt", task="sentiment")


def test_an_encoding_is_guessed_and_said(folder):
    frame = reviews(80, review=[f"Ein schöner Film über Bären, größer und süßer, {i}" for i in range(80)])
    frame.to_csv("west.csv", index=False, encoding="cp1252")
    result = init_config("west.csv")
    assert "encoding 'cp1252' (guessed" in result.read_as and "text_column 'review'" in result.read_as
    text = result.path.read_text("utf-8")
    line = next(line for line in text.splitlines() if "encoding:" in line)
    assert "guessed, as it cannot be known" in line
    assert examples_of("west.yaml")[0]["text"].startswith("Ein schöner Film über Bären")


def test_a_column_called_label_is_the_label_whatever_its_first_rows_hold(folder):
    sorted_by_label = reviews(5100, note=LABELS_LIKE * 85, sentiment=["neg"] * 5050 + ["pos"] * 50)
    sorted_by_label.to_csv("sorted.csv", index=False)
    init_config("sorted.csv")
    assert examples_of("sorted.yaml")[0]["label"] == "neg"
    reviews(note=LABELS_LIKE, sentiment="pos").to_csv("one.csv", index=False)
    with pytest.raises(DataError, match="all 60 rows have the label 'pos'"):
        init_config("one.csv")


def test_parts_and_folders_by_any_way_to_name_them(folder, monkeypatch):
    (folder / "parts").mkdir()
    for i in range(3):
        reviews(20).to_csv(folder / "parts" / f"{i}.csv", index=False)
    for given, name in (("parts", "parts"), ("parts/*.csv", "parts"), ("parts/", "parts")):
        result = init_config(given)
        assert result.path.name == f"{name}.yaml" and result.seen.rows == {"train": 60}
        assert len(examples_of(result.path)) == 60
        result.path.unlink()
    monkeypatch.chdir(folder / "parts")
    assert init_config(".", output="../made/new.yaml").path.is_file()


@pytest.mark.parametrize("option", ["text", "label", "source"])
def test_columns_of_what_has_none_are_refused(option, folder):
    (folder / "book.txt").write_text("\n".join(sentences(20)), "utf-8")
    with pytest.raises(UsageError, match=f"book.txt is no table .*--{option}"):
        init_config("book.txt", **{option: "x"})


def test_strange_names_and_labels_do_not_break_the_config(folder):
    labels = ["a\x01\nb", "{no: yes}"] * 30
    frame = pd.DataFrame({"# text: x": sentences(60), "label\u2028\x85": labels, "label ": LABELS_LIKE})
    frame.to_json("strange.jsonl", orient="records", lines=True)
    result = init_config("strange.jsonl", label="label\u2028\x85")
    assert examples_of(result.path)[0]["label"] == "a\x01\nb"
    assert "'label '" in init_config("strange.jsonl", label="label ", output="o.yaml").text


def test_nothing_is_overwritten(folder):
    reviews().to_csv("t.csv", index=False)
    (folder / "t.yaml").write_text("mine")
    with pytest.raises(UsageError, match="t.yaml exists and is not overwritten: give another name with --output"):
        init_config("t.csv")
    assert (folder / "t.yaml").read_text() == "mine"
    assert init_config("t.csv", output=folder / "other.yaml").path == folder / "other.yaml"


@pytest.mark.parametrize("task", [None, "sentiment", "language_model", "translation"])
def test_without_data_there_is_the_sample(task, folder):
    result = init_config(task=task, output="mine.yaml")
    experiment = load_experiment(result.path)
    assert experiment.data.source.name == "sample" and experiment.task.name == (task or "sentiment")
    assert "nlp-suite train mine.yaml\n" in result.text and "configs/" not in result.text.split("\n\n")[0]
    with pytest.raises(UsageError, match="without TRAIN the built-in sample is taken"):
        init_config(label="x")


def test_the_command_prints_what_it_saw_and_what_comes_next(monkeypatch, capsys):
    reviews().to_csv("my reviews.csv", index=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    for expected, arguments in (
        (0, ["init", "my reviews.csv", "--label", "sentiment"]),
        (1, ["init", "my reviews.csv"]),
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert (ended.value.code or 0) == expected
    shown = capsys.readouterr()
    assert shown.out.startswith("train: 60 examples\n")
    assert "read as: label_column 'sentiment' (as --label says), text_column 'review'\n" in shown.out
    assert shown.out.endswith("written: my reviews.yaml\nnext: nlp-suite train 'my reviews.yaml'\n")
    assert shown.err == "error: my reviews.yaml exists and is not overwritten: give another name with --output\n"


@pytest.mark.slow
def test_memory_stays_flat_over_many_rows(folder):
    lines = [json.dumps({"text": text, "label": f"c{i % 5}"}) for i, text in enumerate(sentences(2000))]
    (folder / "small.jsonl").write_text("\n".join(lines) + "\n")
    with open(folder / "large.jsonl", "w") as file:
        file.writelines(f"{line}\n" for _ in range(15) for line in lines)
    peaks = []
    for name in ("small.jsonl", "large.jsonl"):
        tracemalloc.start()
        init_config(name)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 30_000 * 100, "far less than the texts, 100 bytes a row at most"
