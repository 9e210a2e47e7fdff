"""The command line as a user meets it: fast help, one-line errors, tables and JSON, the whole way on a tiny corpus."""

import json
import os
import subprocess
import sys

import pytest

ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "ignore"}


def run(*arguments, cwd=None, input=None):
    return subprocess.run(
        [sys.executable, "-m", "nlp_suite", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        input=input,
        env=ENVIRONMENT,
    )


CONFIG = """
task: {name: sentiment, pooling: [mean]}
data: {source: {name: sample, size: 200, test: 40}}
backbone: {name: bag, embedding_size: 4, ngram_buckets: 1024}
training: {epochs: 3, learning_rate: 0.05, buckets: 2, tensorboard: false}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a config and a trained run."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(CONFIG)
    done = run("train", "tiny.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("runs/tiny: best val_accuracy")
    assert done.stderr.count("checkpoint interval ") == 3 and "3 checkpoint intervals of" in done.stderr
    assert "I0000" not in done.stderr, "TensorFlow's own lines are kept off the terminal"
    return folder


def test_help_imports_nothing_heavy():
    code = (
        "import sys, nlp_suite.cli; heavy = {'tensorflow', 'keras', 'numpy', 'pydantic', 'matplotlib'} & set(sys.modules);"
        "print(sorted(heavy))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
    assert "evaluate" in run("--help").stdout


@pytest.mark.parametrize("kind, name", [("backbones", "lstm"), ("tokenizers", "byte"), ("tasks", "sentiment")])
def test_list(kind, name):
    assert name in json.loads(run("list", kind, "--json").stdout)
    assert any(line.startswith(name + " ") for line in run("list", kind).stdout.splitlines())


def test_list_of_an_unknown_kind():
    done = run("list", "backbone")
    assert done.returncode == 1 and done.stderr.startswith("error: unknown kind 'backbone': did you mean 'backbones'?")


def test_config_show_is_a_config(folder):
    shown = run("config", "show", "tiny.yaml", "--set", "training.epochs=7", cwd=folder)
    (folder / "shown.yaml").write_text(shown.stdout)
    assert "epochs: 7" in shown.stdout
    assert run("config", "show", "shown.yaml", cwd=folder).stdout == shown.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", "absent.yaml"], "config file 'absent.yaml' does not exist"),
        (["train", "tiny.yaml", "--set", "backbone.ngram=1"], "unknown key 'ngram': did you mean 'ngrams'?"),
        (["evaluate", "nowhere"], "'nowhere' is not a run folder"),
        (["evaluate", "runs/tiny", "--split", "dev"], "no split 'dev' (there are: train, validation, test)"),
        (["predict", "nowhere", "x"], "'nowhere' does not exist"),
        (["train", "tiny.yaml", "--set", "training.epochs=4"], "training.epochs: 3 → 4"),
    ],
)
def test_mistakes_are_one_message_without_a_traceback(folder, arguments, message):
    done = run(*arguments, cwd=folder)
    assert done.returncode == 1
    assert "error: " in done.stderr and message in done.stderr and "Traceback" not in done.stderr


def test_prepare_and_inspect(folder):
    prepared = json.loads(run("prepare", "tiny.yaml", "--json", cwd=folder).stdout)
    assert prepared["statistics"]["test"]["texts"] == 40
    report = json.loads(run("inspect", "tiny.yaml", "--json", cwd=folder).stdout)
    assert report["splits"]["test"]["examples"] == 40 and report["tokens"]["test"]["texts"] == 40
    assert "Label balance" in run("inspect", "tiny.yaml", cwd=folder).stdout


def test_evaluate_writes_the_report_and_prints_it(folder):
    report = json.loads(run("evaluate", "runs/tiny", "--json", cwd=folder).stdout)
    assert report["examples"] == 40
    assert json.loads((folder / "runs/tiny/report.json").read_text())["accuracy"] == report["accuracy"]
    assert "Accuracy" in run("evaluate", "runs/tiny", "--split", "validation", cwd=folder).stdout


def test_predict_from_arguments_and_standard_input(folder):
    lines = run("predict", "runs/tiny", "a good film", "", "--format", "jsonl", cwd=folder).stdout.splitlines()
    assert [set(json.loads(line)["probabilities"]) for line in lines] == [{"negative", "positive"}] * 2
    piped = run("predict", "runs/tiny", "-", "--format", "jsonl", cwd=folder, input="a good film\n\n").stdout
    assert piped.splitlines() == lines
