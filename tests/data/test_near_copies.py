"""Near copies across splits: the estimate beside the exact similarity, what is counted, and what is left out of training."""

import io

import numpy as np
import pytest
from pydantic import ValidationError
from rich.console import Console

from nlp_suite.config import load_experiment
from nlp_suite.data.inspect import format_inspection, inspect_experiment
from nlp_suite.data.near_copies import inspected, near_copies, sketch
from nlp_suite.data.prepare import kind_of, open_source, splits
from nlp_suite.errors import ConfigError, DataError

draw = np.random.default_rng(3)
WORDS = ["".join(draw.choice(list("abcdefghijklmnop"), draw.integers(2, 9))) for _ in range(300)]


def text(words):
    return " ".join(draw.choice(WORDS, words))


def changed(original, words):
    parts = original.split()
    for place in draw.choice(len(parts), words, replace=False):
        parts[place] = "zzz"
    return " ".join(parts)


def grams(text):
    return {text[i : i + 5] for i in range(len(text) - 4)}


@pytest.mark.parametrize("words", [8, 40, 200])
def test_the_estimate_is_the_share_of_common_character_5_grams(words):
    errors = []
    for number in range(30):
        one = text(words)
        other = changed(one, 1 + number % max(1, words // 5))
        exact = len(grams(one) & grams(other)) / len(grams(one) | grams(other))
        errors.append((sketch(one) == sketch(other)).mean() - exact)
    assert abs(np.mean(errors)) < 0.02 and np.sqrt(np.mean(np.square(errors))) < 0.05


def test_copies_are_found_whatever_their_case_and_marks_and_nothing_else():
    test = [text(30) for _ in range(60)] + ["", "!!", "Fine.", "日本語のテキスト、これは。"]
    train = [text(30) for _ in range(1500)]
    train[7], train[1100], train[1200] = changed(test[3], 1), test[50].upper() + "!", changed(test[9], 12)
    train[30:34] = ["", "?", "fine", "日本語のテキスト これは"]
    found = near_copies(train, {"validation": [text(30)], "test": test}, 0.8)
    assert found.rows.tolist() == [7, 32, 33, 1100], "12 of 30 words are others; texts without letters are no copies"
    assert found.texts == {"validation": 0, "test": 4} and found.examples["validation"] == []
    first = found.examples["test"][0]
    assert first["train"][:200] == train[7][:200] and first["text"][:200] == test[3][:200]
    assert 0.8 <= first["similarity"] < 1
    assert near_copies([], {"test": test}).rows.tolist() == near_copies(train, {"test": []}).rows.tolist() == []


@pytest.fixture
def config(tmp_path):
    sizes = {"train": 36, "validation": 4, "test": 10}
    rows = {split: [text(20) for _ in range(size)] for split, size in sizes.items()}
    rows["train"][4], rows["train"][5] = rows["test"][2], changed(rows["test"][2], 1)
    for split, texts in rows.items():
        lines = [f"{line}\t{'ab'[number % 2]}" for number, line in enumerate(texts)]
        (tmp_path / f"{split}.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n", "utf-8")
    files = {split: str(tmp_path / f"{split}.tsv") for split in rows}
    return lambda **data: {"data": {"source": {"name": "files", **files}, "cache": str(tmp_path / "cache"), **data}}


def test_inspect_counts_them_and_says_what_leaves_them_out(config, monkeypatch):
    monkeypatch.setattr("nlp_suite.data.inspect.estimate_tokens", lambda *_: {})  # which needs TensorFlow
    report = inspect_experiment(load_experiment(config()))
    found = report["near_copies"]
    assert (found["train_rows"], found["texts"]["test"], found["shares"]["test"], found["all"]) == (2, 1, 0.1, True)
    (said,) = [remark for remark in report["remarks"] if "near copy" in remark]
    assert "10.0% of test" in said and "data.deduplicate: 0.8 leaves these 2 training texts out" in said
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(format_inspection(report))
    assert "Near copies in training (similarity 0.8 or more)" in console.export_text()


def test_they_are_left_out_of_training_and_of_nothing_else(config, capsys, unlogged):
    plain, less = (load_experiment(config(**more)) for more in ({}, {"deduplicate": 0.8}))
    before, after = (splits(one, open_source(one)) for one in (plain, less))
    texts = {split: [row["text"] for row in after[split]] for split in after}
    assert texts["test"] == [row["text"] for row in before["test"]] and len(texts["test"]) == 10
    assert texts["validation"] == [row["text"] for row in before["validation"]]
    trained_on = [row["text"] for row in before["train"]]
    assert texts["train"] == trained_on[:4] + trained_on[6:]
    said = "left out 2 of 36 training examples, near copies of others (0 of validation, 1 of test)"
    assert f"data.deduplicate: {said}" in capsys.readouterr().err
    assert inspected(after, kind_of(less).compared_text, 0.8)["train_rows"] == 0


def test_what_cannot_be_is_refused(config, tmp_path):
    with pytest.raises(
        (ConfigError, ValidationError), match=r"data.deduplicate: .*greater than or equal to 0.7.*got 0.5"
    ):
        load_experiment(config(deduplicate=0.5))
    with pytest.raises(ConfigError, match="'language_model' does not use data.deduplicate"):
        load_experiment({"task": "language_model", "data": {"deduplicate": 0.8}})
    (tmp_path / "train.tsv").write_text((tmp_path / "test.tsv").read_text("utf-8"), "utf-8")
    everything = load_experiment(config(deduplicate=0.8))
    with pytest.raises(DataError, match="leaves nothing to train on"):
        splits(everything, open_source(everything))
