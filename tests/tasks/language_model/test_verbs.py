"""score and generate on the command line: tables, JSON lines, TSV, a page; the same text twice; one-line errors."""

import csv
import io
import json
import sys

import pytest
from typer.testing import CliRunner

from nlp_suite import cli
from nlp_suite.export.load import load
from nlp_suite.text.text_layer import TextLayer
from tests.export.conftest import SMALL
from tests.export.conftest import make_run as make_classifier
from tests.language_models import make_run

GENERATE = ("--max-tokens", "6")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    make_run(folder / "lm", "gru")
    (folder / "classifier").mkdir()
    make_classifier(folder / "classifier", SMALL["bag"])
    (folder / "lines.txt").write_text("the cat sees a dog\n\nGröße 👍 zzz\n", "utf-8")
    (folder / "empty.txt").write_text("")
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return load(folder / "lm")


@pytest.fixture
def run(folder, model, monkeypatch):
    """Calls the command line in this process; models are opened once."""
    opened = {str(folder / "lm"): model}
    for module in ("export.load", "tasks.shared.opening"):
        monkeypatch.setattr(f"nlp_suite.{module}.load", lambda path: opened.get(str(path)) or load(path))
    monkeypatch.chdir(folder)
    opened["lm"] = model

    def run(*arguments, input=None):
        return CliRunner().invoke(cli.app, [str(a) for a in arguments], input=input)

    return run


@pytest.fixture
def refused(monkeypatch, capsys, folder):
    """Calls the program's entry, which ends with one line of error."""
    monkeypatch.chdir(folder)

    def refused(*arguments, input=b""):
        monkeypatch.setattr(sys, "argv", ["nlp-suite", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input)))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 1
        shown, errors = capsys.readouterr()
        assert arguments[0] != "generate" or not shown, "what is wrong is said before the prompt is printed"
        assert errors.startswith("error: ") and "Traceback" not in errors
        return errors

    return refused


LINES = ["the cat sees a dog", "", "Größe 👍 zzz"]


def test_score_as_json_lines_has_every_number_and_the_total(run, model):
    done = run("score", "lm", "lines.txt", "--format", "jsonl")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    expected = model.score(LINES)
    assert [row["text"] for row in rows] == LINES and [set(row) for row in rows] == [
        {"text", "log_prob", "perplexity", "num_tokens", "truncated"}
    ] * 3
    assert [row["log_prob"] for row in rows] == pytest.approx([e["log_prob"] for e in expected], abs=1e-4)
    total = sum(e["log_prob"] for e in expected)
    assert f"3 texts, 11 tokens, log-probability {total:,.2f}, perplexity" in done.stderr
    with_tokens = run("score", "lm", "lines.txt", "--format", "jsonl", "--tokens").stdout.splitlines()
    assert json.loads(with_tokens[2])["tokens"] == ["Größe", "<unk>", "<unk>", "</s>"]
    assert len(json.loads(with_tokens[0])["token_log_probs"]) == 6


def test_score_says_which_lines_were_cut(run, model, monkeypatch):
    assert "cut" not in run("score", "lm", "lines.txt").stderr
    settings = model.text.settings.model_copy(update={"max_length": 4})
    monkeypatch.setattr(model, "text", TextLayer(settings, model.text.tokenizer))
    done = run("score", "lm", "-", "--format", "jsonl", input="the cat\nthe cat sees a dog\na\na dog sees the bird\n")
    assert [json.loads(line)["truncated"] for line in done.stdout.splitlines()] == [False, True, False, True]
    assert "2 of 4 texts were longer than text.max_length, or than task.max_scored of an export, and cut" in done.stderr
    assert done.stderr.endswith("cut there: number 2, 4\n")


def test_score_reads_standard_input(run):
    piped = run("score", "lm", "-", "--format", "jsonl", input="the cat sees a dog\n\nGröße 👍 zzz\n")
    assert piped.stdout == run("score", "lm", "lines.txt", "--format", "jsonl").stdout
    assert run("score", "lm", "--format", "jsonl", input="the cat\n").stdout.startswith('{"text": "the cat"')


def test_score_as_tsv(run, model):
    plain = list(csv.reader(io.StringIO(run("score", "lm", "lines.txt", "--format", "tsv").stdout), "excel-tab"))
    assert plain[0] == ["text", "log_prob", "perplexity", "num_tokens"]
    assert [row[0] for row in plain[1:]] == LINES and [row[3] for row in plain[1:]] == ["6", "1", "4"]
    done = run("score", "lm", "lines.txt", "--format", "tsv", "--tokens")
    rows = list(csv.reader(io.StringIO(done.stdout), "excel-tab"))
    assert rows[0] == ["text", "token", "log_prob"] and len(rows) == 1 + 6 + 1 + 4
    assert float(rows[1][2]) == pytest.approx(model.score(LINES)[0]["token_log_probs"][0], abs=1e-5)


def test_score_of_a_table_is_that_of_its_texts(run, folder, model):
    (folder / "table.csv").write_text('id,text,other\n1,"the cat, a dog",the dog\n2,the dog,\n', "utf-8")
    shown = ("--format", "jsonl")
    rows = [json.loads(line) for line in run("score", "lm", "table.csv", *shown).stdout.splitlines()]
    assert [row["text"] for row in rows] == ["the cat, a dog", "the dog"]
    assert rows[1]["log_prob"] == pytest.approx(model.score(["the dog"])[0]["log_prob"], abs=1e-4)
    others = [
        json.loads(line) for line in run("score", "lm", "table.csv", "--text", "other", *shown).stdout.splitlines()
    ]
    assert [row["text"] for row in others] == ["the dog", ""]
    assert "--text 'id' is a column of a table" in str(run("score", "lm", "lines.txt", "--text", "id").exception)


def test_score_as_a_table(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    table = run("score", "lm", "lines.txt", "--max-length", "8").stdout
    assert "log-probability" in table and "the cat…" in table and "perplexity" in table
    assert "</s>" in run("score", "lm", "lines.txt", "--tokens").stdout


def test_score_writes_a_page_of_surprise(run, folder):
    done = run("score", "lm", "lines.txt", "--format", "jsonl", "--html", folder / "page.html")
    page = (folder / "page.html").read_text("utf-8")
    assert f"page: {folder / 'page.html'}" in done.stderr
    assert (
        page.startswith("<!DOCTYPE html>") and "Größe" in page and "dog" in page and len(done.stdout.splitlines()) == 3
    )


def test_generate_streams_one_text_and_gives_it_again_for_the_same_seed(run, model):
    done = run("generate", "lm", "--prompt", "the cat", *GENERATE, "--seed", "5", "--temperature", "0.9")
    (expected,) = model.generate(["the cat"], max_tokens=6, seed=5, temperature=0.9)
    assert done.exit_code == 0 and done.stdout == f"the cat{expected['text']}\n"
    assert (
        run("generate", "lm", "--prompt", "the cat", *GENERATE, "--seed", "5", "--temperature", "0.9").stdout
        == done.stdout
    )


def test_generate_as_json_with_samples_and_several_prompts(run, model):
    arguments = ("--prompt", "the cat", "--prompt", "a dog", "--samples", "2", "--seed", "3", "--json", *GENERATE)
    rows = [json.loads(line) for line in run("generate", "lm", *arguments, "--top-k", "9").stdout.splitlines()]
    asked = [("the cat", 3), ("the cat", 4), ("a dog", 3), ("a dog", 4)]
    assert [(row["prompt"], row["seed"]) for row in rows] == asked
    prompts, seeds = zip(*asked)
    expected = model.generate(list(prompts), seed=list(seeds), max_tokens=6, top_k=9)
    assert [row["text"] for row in rows] == [e["text"] for e in expected]
    assert [row["length"] for row in rows] == [6] * 4 and all(row["log_prob"] < 0 for row in rows)
    plain = run("generate", "lm", "--prompt", "a", "--prompt", "the", "--greedy", *GENERATE).stdout
    assert plain.count("(6 tokens, log-probability -") == 2


def test_generate_greedily_to_a_stop_string_and_by_beam(run, model):
    (whole,) = model.generate(["the"], max_tokens=6, temperature=0.0)
    stop = whole["text"][4:7]
    done = run("generate", "lm", "--prompt", "the", "--greedy", "--stop", stop, "--stop", "never", *GENERATE)
    assert done.stdout == "the" + whole["text"].split(stop)[0] + "\n"
    beam = run("generate", "lm", "--prompt", "the", "--beam-size", "3", "--json", *GENERATE)
    assert json.loads(beam.stdout)["text"] == model.generate(["the"], max_tokens=6, beam_size=3)[0]["text"]
    assert json.loads(run("generate", "lm", "--json", "--greedy", *GENERATE).stdout)["prompt"] == ""


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["score", "classifier", "lines.txt"], "'classifier' is no language model but a classifier: ask it with"),
        (["generate", "classifier", "--prompt", "x"], "'classifier' is no language model but a classifier"),
        (["predict", "lm", "x"], "'lm' is a language model: ask it with nlp-suite score or nlp-suite generate"),
        (["score", "lm", "absent.txt"], "'absent.txt': no such file"),
        (["score", "nowhere", "lines.txt"], "'nowhere' does not exist; expected a run folder"),
        (["score", "lm", "empty.txt"], "there is nothing to score: the input has no line"),
        (["score", "lm", "-"], "there is nothing to score"),
        (["score", "lm", "lines.txt", "--format", "jsn"], "unknown output format 'jsn': did you mean 'jsonl'?"),
        (["generate", "lm", "--max-tokens", "21"], "max_tokens is 21; allowed: whole numbers from 0 to 20"),
        (["generate", "lm", "--samples", "0"], "--samples 0: allowed are whole numbers from 1"),
        (["generate", "lm", "--beam-size", "2", "--greedy", *GENERATE], "temperature: beam search does not sample"),
        (["generate", "lm", "--top-p", "2", *GENERATE], "top_p is 2.0; allowed"),
        (["generate", "lm", "--beam-size", "3", "--seed", "7"], "seed: beam search does not sample; leave it out or"),
        (["generate", "lm", "--beam-size", "100000"], "beam_size is 100000; allowed: whole numbers from 1 to 1024"),
        (["generate", "lm", "--beam-size", "0"], "beam_size is 0; allowed: whole numbers from 1 to 1024"),
        (["generate", "lm", "--beam-size", "3", "--length-penalty", "-1"], "length_penalty is -1.0; allowed: finite"),
        (["generate", "lm", "--length-penalty", "nan"], "length_penalty is nan; allowed: finite numbers, 0 or above"),
        (
            ["generate", "lm", "--length-penalty", "0.5"],
            "length_penalty 0.5 is for beam search: give a beam_size above",
        ),
        (
            ["generate", "lm", "--greedy", "--temperature", "0.5"],
            "--greedy is a temperature of 0: leave it out, or --tem",
        ),
        (
            ["generate", "lm", "--greedy", "--seed", "7"],
            "--seed: greedy decoding draws nothing at random; leave it out",
        ),
        (
            ["generate", "lm", "--temperature", "0", "--top-k", "3", "--top-p", "0.9"],
            "--top-k, --top-p: greedy decoding",
        ),
        (["generate", "lm", "--greedy", "--samples", "2"], "--samples 2: greedy decoding and beam search always write"),
    ],
)
def test_mistakes_are_one_message_without_a_traceback(refused, arguments, message):
    assert message in refused(*arguments)
