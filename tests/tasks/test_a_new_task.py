"""A fourth task is one file: sequence tagging goes through every verb, with no other file of the suite changed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import nlp_suite
from nlp_suite.cli import app
from nlp_suite.registry import CORPUS_KINDS, TASKS
from tests.serving.endpoint import free_port
from tests.tasks.checks import run_task_checks

FOLDER = Path(__file__).with_name("a_new_task")
NAMES, PLACES = ["anna", "ben", "carla", "dora smith", "emil"], ["paris", "rome", "new york", "oslo"]
SENTENCES = ["{} lives in {}", "yesterday {} left {}", "who saw {} near {} today"]


def tagged(phrase, kind):
    return " ".join(f"{'I' if place else 'B'}-{kind}" for place, _ in enumerate(phrase.split()))


def rows():
    for sentence in SENTENCES:
        for name in NAMES:
            for place in PLACES:
                tags = sentence.format(tagged(name, "PER"), tagged(place, "LOC")).split()
                yield sentence.format(name, place), " ".join(tag if tag[1] == "-" else "O" for tag in tags)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with data and a config; the folder of the task is on the Python path."""
    folder = tmp_path_factory.mktemp("tagging")
    lines = "".join(f"{text}\t{tags}\n" for text, tags in rows())
    for split in ("train", "validation", "test"):
        (folder / f"{split}.tsv").write_text("text\ttags\n" + lines, "utf-8")
    config = {
        "task": "tagging",
        "data": {
            "source": {"name": "files", **{s: str(folder / f"{s}.tsv") for s in ("train", "validation", "test")}},
            "cache": str(folder / "cache"),
        },
        "text": {"tokenizer": {"name": "word", "min_count": 1}, "max_length": 8},
        "backbone": {"name": "gru", "units": 16, "embedding_size": 16},
        "training": {"epochs": 8, "batch_size": 16, "learning_rate": 0.02, "tensorboard": False, "buckets": 2},
    }
    (folder / "tagging.yaml").write_text(yaml.safe_dump(config), "utf-8")
    before = Path.cwd()
    os.chdir(folder)
    sys.path.append(str(FOLDER))
    with CORPUS_KINDS.temporary():
        yield folder
    sys.path.remove(str(FOLDER))
    TASKS._registered.pop("tagging", None)  # the test of another process, run alone, does not import it here
    sys.modules.pop("nlp_suite.tasks.tagging", None)
    os.chdir(before)


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def trained(folder):
    run("train", "tagging.yaml", "--run-dir", "run")
    return folder / "run"


@pytest.fixture(scope="module")
def exported(trained):
    run("export", "run", "--to", "models/tagging")
    return trained.parent / "models" / "tagging"


def test_it_is_listed_with_its_help(folder):
    assert "Sequence tagging" in json.loads(run("list", "tasks", "--json"))["tagging"]


def test_it_keeps_the_contract(folder):
    files = {split: str(folder / f"{split}.tsv") for split in ("train", "validation", "test")}
    run_task_checks("tagging", cache=folder / "checked", source={"name": "files", **files})


def test_inspect_and_prepare(folder):
    report = json.loads(run("inspect", "tagging.yaml", "--json"))
    assert report["splits"]["train"]["sentences"] == 60 and report["splits"]["train"]["tags"]["B-PER"] == 60
    assert "words" in run("inspect", "tagging.yaml")
    prepared = json.loads(run("prepare", "tagging.yaml", "--json"))
    assert prepared["statistics"]["test"]["texts"] == 60
    assert "trunc" in run("prepare", "tagging.yaml")


@pytest.mark.slow
def test_a_process_of_its_own_finds_it_on_the_python_path(folder):
    path = os.pathsep.join([str(Path(nlp_suite.__file__).parents[1]), str(FOLDER)])
    command = [sys.executable, "-m", "nlp_suite", "inspect", "tagging.yaml", "--json"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["splits"]["train"]["sentences"] == 60


def test_what_it_does_not_use_is_refused_by_the_common_rule(folder):
    with pytest.raises(nlp_suite.NlpSuiteError, match="'tagging' does not use training.class_weights; .* sentiment"):
        nlp_suite.load_experiment(folder / "tagging.yaml", ["training.class_weights=balanced"])


def test_evaluate_with_a_report(trained):
    report = json.loads(run("evaluate", "run", "--json"))
    assert report["span_f1"] > 0.95 and report["token_f1"] > 0.95
    assert json.loads((trained / "report.json").read_text("utf-8"))["span_f1"] == report["span_f1"]
    assert "Which types are found" in (trained / "report.html").read_text("utf-8")
    assert "Span F1" in run("evaluate", "run")


def test_predict_from_the_run_and_from_the_exports(trained, exported):
    run("export", "run", "--to", "tagging.keras", "--format", "keras")
    expected = nlp_suite.load(trained).predict(["anna lives in new york", ""])
    assert expected[0]["tags"] == ["B-PER", "O", "O", "B-LOC", "I-LOC"] and expected[1]["tags"] == []
    for path in (exported, trained.parent / "tagging.keras"):
        assert nlp_suite.load(path).predict(["anna lives in new york", ""]) == expected
    lines = run("predict", exported, "anna lives in new york", "--format", "jsonl").splitlines()
    assert json.loads(lines[0])["tags"] == expected[0]["tags"]
    assert "B-PER O O B-LOC I-LOC" in run("predict", "run", "anna lives in new york", "--format", "tsv")
    assert json.loads((exported / "1/assets.extra/model_card.json").read_text("utf-8"))["task"] == "tagging"


def test_a_format_that_it_does_not_name_is_refused(trained):
    with pytest.raises(
        nlp_suite.NlpSuiteError,
        match=r"'ctranslate2' cannot express a run of 'tagging' \(tasks that it can: translation",
    ):
        nlp_suite.export_run(trained, trained.parent / "x", format="ctranslate2")


def test_serve_and_query(exported):
    port, rest = free_port(), free_port()
    flags = [f"--model_base_path={exported}", "--model_name=tagging", f"--port={port}", f"--rest_api_port={rest}"]
    server = subprocess.Popen([sys.executable, "-m", "nlp_suite", "serve", *flags], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while True:
            answer = CliRunner().invoke(
                app, ["query", f"127.0.0.1:{rest}", "anna lives in rome", "--model", "tagging", "--json"]
            )
            if answer.exit_code == 0:
                break
            assert time.monotonic() < deadline and server.poll() is None, answer.output
            time.sleep(0.2)
        assert '"B-PER", "O", "O", "B-LOC"' in answer.stdout
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)


def test_a_task_that_lacks_something_is_refused_and_told_what():
    from nlp_suite.config import ComponentSettings
    from nlp_suite.task import Task

    with (
        TASKS.temporary(),
        pytest.raises(TypeError, match="does not define: corpus_kind, export_predictor, measure, m"),
    ):
        TASKS.register(ComponentSettings, "half")(type("HalfTask", (Task,), {"title": "half"}))
