"""translate, and score of pairs, on the command line: lines in and out, n-best lists, pages, streams, one-line errors."""

import csv
import io
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from typer.testing import CliRunner

from nlp_suite import cli
from nlp_suite.export.load import load
from nlp_suite.predictor import Predictor
from nlp_suite.tasks.translation import output as translation_output
from nlp_suite.tasks.translation.ensemble import open_ensemble
from tests.language_models import make_run as make_language_model
from tests.translation_models import PAIRS, make_run

SOURCES, TARGETS = [source for source, _ in PAIRS], [target for _, target in PAIRS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    make_run(folder / "one", "gru", long_sources="truncate")
    make_run(folder / "two", "lstm", seed=6)
    make_run(folder / "own", "gru", target_text={})
    make_language_model(folder / "lm", "gru")
    (folder / "in.txt").write_text("\n".join([*SOURCES, "", "zzz"]) + "\n", "utf-8")
    (folder / "source.txt").write_text("\n".join(SOURCES) + "\n", "utf-8")
    (folder / "target.txt").write_text("\n".join(TARGETS) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return load(folder / "one")


@pytest.fixture
def run(folder, model, monkeypatch):
    """Calls the command line in this process; the model is opened once."""
    opened = {"one": model, "lm": None}
    for module in ("export.load", "tasks.shared.opening"):
        monkeypatch.setattr(f"nlp_suite.{module}.load", lambda path: opened.get(str(path)) or load(path))
    monkeypatch.chdir(folder)

    def run(*arguments, input=None):
        return CliRunner().invoke(cli.app, [str(a) for a in arguments], input=input)

    return run


def test_lines_in_lines_out(run, model, folder):
    expected = [answer["translation"] for answer in model.translate([*SOURCES, "", "zzz"])]
    text = (folder / "in.txt").read_text("utf-8")
    for arguments, input in ((("--input", "in.txt"), None), ((), text), (("-",), text)):
        result = run("translate", "one", *arguments, input=input)
        assert result.exit_code == 0, result.output
        assert result.stdout.split("\n") == [*expected, ""]
        assert expected[4] == ""
    assert run("translate", "one", *SOURCES[:2]).stdout.splitlines() == expected[:2]
    assert run("translate", "one", "--input", "in.txt", "--output", "out.txt").stdout == ""
    assert (folder / "out.txt").read_text("utf-8").split("\n") == [*expected, ""]


def test_n_best_lists(run, model):
    options = ("--beam-size", "3", "--n-best", "2", "--length-penalty", "1", "--min-length", "2")
    answers = model.translate(["the cat", "", "a dog"], beam_size=3, n_best=2, length_penalty=1.0, min_length=2)
    lines = run("translate", "one", "the cat", "", "a dog", *options).stdout.splitlines()
    parts = [line.split(" ||| ") for line in lines]
    assert [part[0] for part in parts] == ["0", "0", "1", "2", "2"]
    flat = [each for answer in answers for each in answer["hypotheses"]]
    assert [part[1] for part in parts] == [each["translation"] for each in flat]
    assert [float(part[2]) for part in parts] == pytest.approx([each["score"] for each in flat], abs=1e-5)
    rows = run("translate", "one", "the cat", "", "a dog", *options, "--format", "tsv").stdout
    rows = list(csv.DictReader(io.StringIO(rows), dialect="excel-tab"))
    assert [(row["number"], row["rank"]) for row in rows] == [
        ("0", "0"),
        ("0", "1"),
        ("1", "0"),
        ("2", "0"),
        ("2", "1"),
    ]
    assert [row["translation"] for row in rows] == [each["translation"] for each in flat]
    lines = run("translate", "one", "the cat", "", "a dog", *options, "--format", "jsonl").stdout.splitlines()
    lines = [json.loads(line) for line in lines]
    assert [line["source"] for line in lines] == ["the cat", "", "a dog"]
    assert [len(line["hypotheses"]) for line in lines] == [2, 1, 2]
    assert lines[0]["score"] == pytest.approx(answers[0]["score"]) and lines[0]["length"] == answers[0]["length"]


def test_a_table_keeps_its_columns(run, model, folder):
    (folder / "in.csv").write_text('number,source\n1,"the cat, a dog"\n2,the bird sings\n', "utf-8")
    result = run("translate", "one", "--input", "in.csv", "--output", "out.jsonl", "--n-best", "2")
    assert result.exit_code == 0 and result.stdout == "out.jsonl: 2 rows\n", result.output
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text("utf-8").splitlines()]
    for row, answer in zip(rows, model.translate(["the cat, a dog", "the bird sings"], n_best=2), strict=True):
        first, second = answer["hypotheses"]
        assert [row["predicted_translation"], row["predicted_translation_2"]] == [
            first["translation"],
            second["translation"],
        ]
        assert row["predicted_score"] == pytest.approx(first["score"], abs=1e-5)
    assert [(row["number"], row["source"]) for row in rows] == [("1", "the cat, a dog"), ("2", "the bird sings")]
    named = run("translate", "one", "--input", "in.csv", "--output", "out.csv", "--text", "number")
    assert named.exit_code == 0 and (folder / "out.csv").read_text("utf-8").startswith("number,source,predicted_tr")
    for options, message in {
        (): "in.csv is a table: give --output FILE",
        ("--output", "in.csv"): "in.csv would be read and written at once",
        ("--output", "out.csv", "--format", "tsv"): "--format tsv is not for tables",
        ("--output", "out.csv", "--text", "body"): "the texts are read from the column 'body'",
    }.items():
        assert message in str(run("translate", "one", "--input", "in.csv", *options).exception)
    assert "--text 'body' is a column of a table" in str(run("translate", "one", "cat", "--text", "body").exception)


def test_sampling(run):
    once, again = (run("translate", "one", *SOURCES, "--sample", "--seed", "3").stdout for _ in range(2))
    other = run("translate", "one", *SOURCES, "--sample", "--seed", "4").stdout
    assert once == again != other


def test_page_of_attention(run, folder):
    result = run("translate", "one", "the cat sees", "", "--attention", "look.html")
    assert result.exit_code == 0 and "page: look.html" in result.stderr
    page = (folder / "look.html").read_text("utf-8")
    assert "sees" in page and page.lstrip().lower().startswith("<!doctype html>")


def test_every_hypothesis_comes_with_its_attention(run, model, folder):
    answers = model.translate(["the cat sees", ""], n_best=3, attention=True)
    asked = ("translate", "one", "the cat sees", "", "--n-best", "3", "--format", "jsonl")
    lines = [json.loads(line) for line in run(*asked, "--attention", "all.html").stdout.splitlines()]
    for line, answer in zip(lines, answers, strict=True):
        for each, expected in zip(line["hypotheses"], answer["hypotheses"], strict=True):
            np.testing.assert_allclose(each["attention"], expected["attention"], atol=1e-5)
        assert line["attention"] == line["hypotheses"][0]["attention"]
    page = (folder / "all.html").read_text("utf-8")
    assert page.count('<table class="map">') == 3 and "4 translations" in page and "3 · score" in page
    assert '"attention"' not in run(*asked).stdout
    (line,) = run("translate", "one", "cat", "--format", "jsonl", "--attention", "all.html").stdout.splitlines()
    assert "attention" in json.loads(line) and "hypotheses" not in json.loads(line)


def test_what_was_cut_is_said(run):
    result = run("translate", "one", " ".join(["cat"] * 50), "cat")
    assert "1 of 2 texts were longer than text.max_length and cut there: number 1\n" in result.stderr


def test_nothing_is_lost(run, folder):
    """What cannot end well is refused before a file is opened for writing."""
    text, old = (folder / "in.txt").read_text("utf-8"), folder / "old.txt"
    old.write_text("old", "utf-8")
    (folder / "link.txt").hardlink_to(folder / "in.txt")
    for arguments, message in (
        (("--input", "in.txt", "--output", "in.txt"), "--input and --output are the same file, 'in.txt'"),
        (("--input", "in.txt", "--output", "link.txt"), "are the same file, 'link.txt'"),
        (("--input", "in.txt", "--output", "new.txt", "--attention", "new.txt"), "--output and --attention are the"),
        (("--input", "in.txt", "--output", "old.txt", "--n-best", "9"), "n_best is 9"),
        (("--input", "in.txt", "--output", "old.txt", "--attention", "no/look.html"), "there is no folder 'no'"),
        (("--input", "in.txt", "--output", "old.txt", "--attention", "one"), "--attention 'one': a folder, not a file"),
        (("--input", "one", "--output", "old.txt"), "--input 'one': a folder, not a file"),
    ):
        result = run("translate", "one", *arguments)
        assert message in str(result.exception) and result.stdout == "", arguments
    assert old.read_text("utf-8") == "old" and (folder / "in.txt").read_text("utf-8") == text
    assert not (folder / "new.txt").exists()


def test_ensemble(run, folder):
    both = open_ensemble([folder / "one", folder / "two"]).translate(SOURCES)
    lines = run("translate", "one", *SOURCES, "--ensemble", "two").stdout.splitlines()
    assert lines == [answer["translation"] for answer in both]


def test_scores_of_pairs(run, model):
    expected = model.score(SOURCES, TARGETS)
    pair = ("--source", "source.txt", "--target", "target.txt")
    result = run("score", "one", *pair, "--format", "jsonl")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["source"], line["text"]) for line in lines] == PAIRS
    assert [line["log_prob"] for line in lines] == pytest.approx([answer["log_prob"] for answer in expected], abs=1e-4)
    assert "4 texts" in result.stderr
    assert "log-probability" in run("score", "one", *pair).stdout
    assert run("score", "one", *pair, "--tokens", "--html", "page.html", "--format", "tsv").exit_code == 0


def test_scored_pairs_that_were_cut_are_named(run, folder):
    long = " ".join(["cat"] * 50)
    (folder / "long.txt").write_text(f"cat\n{long}\ncat\n", "utf-8")
    (folder / "other.txt").write_text(f"{long}\nKatze\nKatze\n", "utf-8")
    result = run("score", "one", "--source", "long.txt", "--target", "other.txt", "--format", "jsonl")
    assert [json.loads(line)["truncated"] for line in result.stdout.splitlines()] == [True, True, False]
    assert "2 of 3 pairs had a source longer than text.max_length or a target" in result.stderr
    assert "cut there: number 1, 2\n" in result.stderr
    assert "cut there" not in run("score", "one", "--source", "source.txt", "--target", "target.txt").stderr


def test_an_own_vocabulary_of_the_target(folder):
    opened = load(folder / "own")
    assert opened.target_text is not opened.text
    assert opened.translate([""])[0]["translation"] == ""
    assert opened.score(SOURCES, TARGETS)[0]["tokens"][-1] == "</s>"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("translate", "lm", "x"), "'lm' is no translation model but a language model"),
        (("translate", "one", "x", "--format", "table"), "unknown output format 'table'"),
        (("translate", "one", "x", "--n-best", "9"), r"n_best is 9; allowed: whole numbers from 1 to 4"),
        (("translate", "one", "x", "--input", "in.txt"), "one of the three"),
        (("translate", "one", "--input", "missing.txt"), "no such file"),
        (("translate", "one", "x", "--ensemble", "own"), "'own' has another vocabulary"),
        (("translate", "one", "x", "--ensemble", "lm"), "is a run of language_model"),
        (("score", "one", "--source", "source.txt"), "give both --source FILE and --target FILE"),
        (
            ("score", "one", "--source", "in.txt", "--target", "target.txt"),
            "in.txt has 6 lines and target.txt 4; no line",
        ),
        (("score", "one", "--source", "in.txt", "--target", "one"), "--target 'one': a folder, not a file"),
        (
            ("score", "one", "source.txt"),
            "is a translation model, which scores pairs: give both --source FILE and --target FILE",
        ),
        (("predict", "one", "x"), "is a translation model: ask it with nlp-suite translate"),
    ],
)
def test_refused(run, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, "argv", ["nlp-suite", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    error = capsys.readouterr().err
    assert end.value.code == 1 and message in error and "Traceback" not in error


class Echo(Predictor):
    """A model that shouts, and remembers how the texts came."""

    def __init__(self):
        self.chunks = []

    def translate(self, texts, **options):
        self.chunks += [texts] if texts else []
        return [{"translation": text.upper(), "truncated": False} for text in texts]


def test_lines_that_came_are_not_held_back(monkeypatch):
    """A slow writer gets every answer before its next line; what lies ready is translated together."""
    reader, writer = os.pipe()
    answers, pushed = os.pipe()
    model = Echo()
    with os.fdopen(reader) as stdin, os.fdopen(pushed, "w") as stdout, os.fdopen(answers) as read:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stdout", stdout)
        work = threading.Thread(target=translation_output.write_translations, args=(model, ["-"]))
        work.start()
        os.write(writer, b"one\n")
        assert read.readline() == "ONE\n"
        os.write(writer, b"two\nthree\n\nfo")
        assert [read.readline() for _ in range(3)] == ["TWO\n", "THREE\n", "\n"]
        os.write(writer, b"ur\r\nfive")
        assert read.readline() == "FOUR\n"
        os.close(writer)
        assert read.readline() == "FIVE\n"
        work.join(10)
    assert model.chunks == [["one"], ["two", "three", ""], ["four"], ["five"]]


def test_a_reader_that_has_seen_enough():
    script = (
        "from nlp_suite.tasks.translation.output import write_translations\n"
        "class Echo:\n"
        "    def translate(self, texts, **options):\n"
        "        return [{'translation': text.upper(), 'truncated': False} for text in texts]\n"
        "write_translations(Echo(), ['-'])"
    )
    command = f'yes word | head -200000 | {sys.executable} -c "$SCRIPT" | head -2; echo ${{PIPESTATUS[2]}}'
    environment = {**os.environ, "SCRIPT": script, "PYTHONPATH": "."}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["WORD", "WORD", "0"]
    assert "Traceback" not in done.stderr and "roken pipe" not in done.stderr
