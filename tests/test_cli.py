"""The command line as a user meets it: fast help, one-line errors, tables and JSON, the whole way on a tiny corpus."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from nlp_suite import cli

CONFIG = """
task: {name: sentiment, pooling: [mean]}
data: {source: {name: sample, size: 200, test: 40}}
backbone: {name: bag, embedding_size: 4, ngram_buckets: 1024}
training: {epochs: 3, learning_rate: 0.05, buckets: 2, tensorboard: false}
"""


def process(*arguments, code=None, **options):
    """A process of its own: the command with arguments, or some Python code."""
    command = ["-c", code] if code else ["-m", "nlp_suite", *arguments]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a config and a run, trained by a process of its own."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(CONFIG)
    done = process("train", "tiny.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("runs/tiny: best val_accuracy")
    assert done.stderr.count("checkpoint interval ") == 3 and "3 checkpoint intervals of" in done.stderr
    assert "I0000" not in done.stderr, "TensorFlow's own lines are kept off the terminal"
    return folder


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Calls the command line's entry in this process, within the folder."""
    monkeypatch.chdir(folder)

    def run(*arguments, input=""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input.encode())))
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        shown = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code or 0, stdout=shown.out, stderr=shown.err)

    return run


def test_help_imports_nothing_heavy():
    heavy = {"tensorflow", "keras", "numpy", "pydantic", "matplotlib"}
    code = f"import atexit, sys, nlp_suite.cli as cli\natexit.register(lambda: print({heavy} & set(sys.modules)))\n"
    shown = process(code=code + "cli.main(['--help'])").stdout
    assert "evaluate" in shown and "translate" in shown and shown.endswith("set()\n")


def test_a_bug_is_a_traceback_that_asks_for_a_report():
    code = "from nlp_suite import cli\ncli.app.command('broken')(lambda: [1, 2][3])\ncli.main(['broken'])"
    done = process(code=code)
    assert done.returncode == 1 and "IndexError" in done.stderr and "Traceback" in done.stderr
    assert done.stderr.endswith("please report it with the lines above and the command\n")
    assert "error: " not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_with_a_line(number):
    code = (
        "import signal, time\nfrom nlp_suite import cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored where the tests run in the background
        "cli.app.command('wait')(lambda: (print('ready', flush=True), time.sleep(60)))\ncli.main(['wait'])"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True) as waiting:
        assert waiting.stdout.readline() == "ready\n"
        waiting.send_signal(number)
        _, errors = waiting.communicate(timeout=30)
    assert waiting.returncode == 128 + number and errors == "interrupted\n"


@pytest.mark.parametrize("kind, name", [("backbones", "lstm"), ("tokenizers", "byte"), ("configs", "lm_sample")])
def test_list(run, kind, name):
    assert name in json.loads(run("list", kind, "--json").stdout)
    assert any(line.startswith(name + " ") for line in run("list", kind).stdout.splitlines())


def test_config_show_is_a_config(run, folder):
    shown = run("config", "show", "tiny.yaml", "--set", "training.epochs=7").stdout
    (folder / "shown.yaml").write_text(shown)
    assert "epochs: 7" in shown
    assert run("config", "show", "shown.yaml").stdout == shown


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["list", "backbone"], "unknown kind 'backbone': did you mean 'backbones'?"),
        (["train", "absent.yaml"], "config file 'absent.yaml' does not exist"),
        (["train", "tiny.yaml", "--set", "backbone.ngram=1"], "unknown key 'ngram': did you mean 'ngrams'?"),
        (["evaluate", "nowhere"], "'nowhere' is not a run folder"),
        (["evaluate", "runs/tiny", "--split", "dev"], "no split 'dev' (there are: train, validation, test)"),
        (["predict", "nowhere", "x"], "'nowhere' does not exist"),
        (["train", "tiny.yaml", "--set", "training.epochs=4"], "training.epochs: 3 → 4"),
    ],
)
def test_mistakes_are_one_message_without_a_traceback(run, arguments, message):
    done = run(*arguments)
    assert done.code == 1
    assert "error: " in done.stderr and message in done.stderr and "Traceback" not in done.stderr


REFUSALS = (
    *("train absent.yaml", "train tiny.yaml --set backbone.units=many", "train tiny.yaml --set backbone=lsmt"),
    *(
        "train tiny.yaml --set task=translation --set task.decoder.heads=3",
        "train tiny.yaml --set training.optimizer=adm",
    ),
    *("train tiny.yaml --set training.epochs=4", "train tiny.yaml --run-dir runs", "train tiny.yaml --set a=[["),
    *("train tiny.yaml --run-dir new --set data.source={name: files, train: absent.tsv}", "prepare absent.yaml"),
    *("train tiny.yaml --run-dir new --set training.init_from=absent", "inspect tiny.yaml --set data.source=absent"),
    *("config show tiny.yaml --set training.schedule=cosin", "config show absent.yaml", "list absent"),
    *("evaluate absent", "evaluate runs/tiny --split dev", "average absent --last 2"),
    *("average runs/tiny", "average runs/tiny --last 99", "average runs/tiny --best 0"),
    *(
        "export absent --to x",
        "export runs/tiny --to x --format absent",
        "export runs/tiny --to x --format ctranslate2",
    ),
    *(
        "predict absent text",
        "predict runs/tiny",
        "predict runs/tiny --input absent",
        "predict runs/tiny x --format absent",
    ),
    *("embed absent x --output v.npy", "embed runs/tiny x --output v.csv", "embed runs/tiny --output v.npy"),
    *("score absent", "score absent --source x", "generate absent --prompt x", "generate runs/tiny --samples 0"),
    *("generate runs/tiny", "translate absent x", "translate runs/tiny x", "translate absent --input absent"),
    *("translate absent --ensemble absent x", "score runs/tiny", "doctor absent", "serve --absent=1"),
)


def test_a_refusal_that_needs_no_model_imports_no_backend(folder):
    code = (
        "import sys\nfrom nlp_suite import cli\n"
        f"for refused in {REFUSALS!r}:\n"
        "    words = refused.replace(': ', ':\\t').replace(', ', ',\\t').split(' ')\n"
        "    try:\n        cli.main([word.replace('\\t', ' ') for word in words])\n"
        "    except SystemExit as ended:\n        assert ended.code, refused\n"
        "    heavy = {'keras', 'tensorflow', 'jax', 'torch', 'pandas'} & set(sys.modules)\n"
        "    assert not heavy, (refused, heavy)\n"
    )
    done = process(code=code, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("error: ") == len(REFUSALS) and "Traceback" not in done.stderr


def test_every_locale_gets_utf_8(folder):
    (folder / "größer.yaml").write_text(CONFIG + "export: {description: größer}", "utf-8")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
    ascii_only = {**plain, "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    shown, refused = (
        subprocess.run([sys.executable, "-m", "nlp_suite", *words], capture_output=True, env=ascii_only, cwd=folder)
        for words in (["config", "show", "größer.yaml"], ["inspect", b"gr\xf6\xdfer.yaml"])
    )
    assert shown.returncode == 0 and "description: größer\n" in shown.stdout.decode("utf-8")
    assert (
        refused.returncode == 1
        and refused.stderr.startswith(b"error: config file ")
        and refused.stderr.count(b"\n") == 1
    )


def test_a_narrow_terminal_cuts_no_number(run, monkeypatch):
    wide = run("inspect", "tiny.yaml").stdout
    monkeypatch.setenv("COLUMNS", "10")
    narrow = run("inspect", "tiny.yaml").stdout
    assert {len(line) for line in narrow.splitlines()} <= set(range(61)) and "…" not in narrow
    assert set(re.findall(r"\d+\.\d+%", wide)) == set(re.findall(r"\d+\.\d+%", narrow))


@pytest.mark.parametrize("verb", [["predict", "runs/tiny", "-"], ["score", "runs/tiny"], ["translate", "runs/tiny"]])
def test_a_closed_standard_input_is_named(folder, monkeypatch, capsys, verb):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SystemExit):
        cli.main(verb)
    assert capsys.readouterr().err == "error: standard input is closed: give texts or a file\n"


@pytest.mark.parametrize(
    "settings, message",
    [
        ("[1]", "settings of Keras are a mapping, not list; mend or remove the file"),
        ('{"backend": "numpy"}', "the backend 'numpy' is no backend (allowed: tensorflow, jax, torch)"),
        ('{"floatx": "x"}', "floatx 'x' is not allowed (allowed: float16, float32, float64)"),
        ('{"epsilon": 1}', "epsilon 1 must be a number with a decimal point"),
    ],
)
def test_settings_of_keras_that_it_cannot_use_are_named(run, tmp_path, monkeypatch, settings, message):
    (tmp_path / "keras.json").write_text(settings)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    done = run("predict", "runs/tiny", "fine")
    assert (done.code, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"error: {tmp_path / 'keras.json'}: ") and message in done.stderr


def test_a_backend_that_there_is_not_is_named(run, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    done = run("predict", "runs/tiny", "fine")
    assert done.stderr == "error: KERAS_BACKEND='numpy' is no backend (allowed: tensorflow, jax, torch)\n"


def test_prepare_and_inspect(run):
    prepared = json.loads(run("prepare", "tiny.yaml", "--json").stdout)
    assert prepared["statistics"]["test"]["texts"] == 40
    report = json.loads(run("inspect", "tiny.yaml", "--json").stdout)
    assert report["splits"]["test"]["examples"] == 40 and report["tokens"]["test"]["texts"] == 40
    assert "Label balance" in run("inspect", "tiny.yaml").stdout


def test_evaluate_writes_the_report_and_prints_it(run, folder):
    done = process("evaluate", "runs/tiny", "--json", cwd=folder)
    report = json.loads(done.stdout)
    assert report["examples"] == 40
    assert json.loads((folder / "runs/tiny/report.json").read_text())["accuracy"] == report["accuracy"]
    assert set(report["baseline"]) == {"majority", "tfidf"} and "baseline_remark" in report
    assert "Is it better than easy methods" in (folder / "runs/tiny/report.html").read_text("utf-8")
    shown = [run("evaluate", "runs/tiny", "--split", "validation", *flag).stdout for flag in ([], ["--no-baseline"])]
    assert all("Accuracy" in each for each in shown) and ["TF-IDF" in each for each in shown] == [True, False]
    assert "baseline" not in json.loads((folder / "runs/tiny/validation/report.json").read_text("utf-8"))


def test_predict_from_arguments_and_standard_input(run, folder):
    lines = run("predict", "runs/tiny", "a good film", "", "--format", "jsonl").stdout.splitlines()
    assert [set(json.loads(line)["probabilities"]) for line in lines] == [{"negative", "positive"}] * 2
    piped = process("predict", "runs/tiny", "-", "--format", "jsonl", cwd=folder, input="a good film\n\n").stdout
    assert piped.splitlines() == lines
