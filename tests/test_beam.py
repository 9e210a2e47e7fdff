"""Batch prediction and preparation under Apache Beam, which wants another protobuf than TensorFlow's newest, in a separate environment."""

import ast
import importlib.util
import json
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
import tensorflow as tf

from nlp_suite.data.store import TokenStore
from tests.data.store_content import content

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow
SCRIPT = """
import sys
from nlp_suite.serving.batch_predict import batch_predict
model, text, output, chunk = sys.argv[1:]
print(batch_predict(model, [text], output, chunk_bytes=int(chunk), batch_size=16))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An interpreter with Apache Beam and what it wants in place of other versions; the other packages are those of this one."""
    if importlib.util.find_spec("apache_beam"):
        return sys.executable
    folder = tmp_path_factory.mktemp("beam")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    next(folder.glob("lib/*/site-packages")).joinpath("present.pth").write_text(sysconfig.get_path("purelib"))
    made = folder / "bin" / "python"
    subprocess.run([made, "-m", "pip", "install", "--quiet", "--no-compile", "--editable", f"{ROOT}[beam]"], check=True)
    return str(made)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Upper case, and an error for texts that hold "fail"."""
    path = tmp_path_factory.mktemp("model")
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serving_default(text):
        wrong = tf.reduce_any(tf.strings.regex_full_match(text, ".*fail.*"))
        with tf.control_dependencies([tf.debugging.Assert(~wrong, ["it fails"])]):
            return {"upper": tf.strings.upper(text), "length": tf.strings.length(text)}

    tf.saved_model.save(module, str(path / "1"), {"serving_default": serving_default})
    return path


def start(python, model, text, output, chunk=4_000):
    return subprocess.Popen(
        [python, "-c", SCRIPT, model, text, output, str(chunk)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=output.parent,
    )


def answers(output, kind):
    files = sorted(f for f in output.iterdir() if f.name.endswith(kind) and (kind != ".jsonl" or ".bad." not in f.name))
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def test_killed_and_started_again_it_goes_on_and_every_line_is_answered_once(python, model, tmp_path):
    lines = [f"text number {i}" if i % 100 else f"this will fail {i}" for i in range(20_000)]
    text, output = tmp_path / "texts.txt", tmp_path / "out"
    text.write_text("\n".join(lines) + "\n")
    first = start(python, model, text, output)
    while first.poll() is None and len(list(output.glob("*.done"))) < 3:
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert 3 <= len(list(output.glob("*.done"))) < 100
    (output / f".texts.txt-00050.jsonl.{'0' * 32}").write_text(
        '{"file": '
    )  # as a kill in the middle of a file leaves it
    second = start(python, model, text, output)
    said, errors = second.communicate(timeout=600)
    assert second.returncode == 0, errors[-2000:]
    told = ast.literal_eval(said.strip().splitlines()[-1])
    assert told["lines"] == 20_000 and told["bad"] == 200 and told["skipped"] >= 3
    good, bad = answers(output, ".jsonl"), answers(output, ".bad.jsonl")
    assert [row["line"] for row in sorted(good + bad, key=lambda row: row["line"])] == list(range(1, 20_001))
    assert all(row["upper"] == row["text"].upper() and row["length"] == len(row["text"]) for row in good)
    assert len(bad) == 200 and all("it fails" in row["reason"] for row in bad)
    assert not list(output.glob(".*"))


def test_memory_does_not_grow_with_the_lines(python, model, tmp_path):
    peak = {}
    measure = SCRIPT + "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    for number in (20_000, 400_000):
        text, output = tmp_path / f"{number}.txt", tmp_path / f"out{number}"
        with text.open("w") as file:
            file.writelines(f"text number {i} of a file that is long\n" for i in range(number))
        command = [python, "-c", measure, model, text, output, "200000"]
        run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert run.returncode == 0, run.stderr[-2000:]
        peak[number] = int(run.stdout.strip().splitlines()[-1]) / 1024  # MiB
        assert sum(1 for _ in answers(output, ".jsonl")) == number
    assert peak[400_000] < peak[20_000] + 150, peak


def test_workers_prepare_what_one_process_does(python, tmp_path):
    rows = [f"{'pos' if i % 3 else 'neg'}\tword{i % 7} word{i % 11}" for i in range(2500)]
    (tmp_path / "train.tsv").write_text("\n".join(["label\ttext", *rows]) + "\n", "utf-8")

    def config(name, **files):
        source = {"name": "files", "train": "train.tsv", **files}
        path = tmp_path / f"{name}.yaml"
        path.write_text(json.dumps({"task": "sentiment", "data": {"source": source, "cache": name}}))
        return path.name

    def run(interpreter, *arguments):
        return subprocess.run(
            [interpreter, "-m", "nlp_suite", "prepare", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )

    one = run(sys.executable, config("one"))
    assert one.returncode == 0, one.stderr
    many = run(python, config("many"), "--processes", "3", "--runner", "direct")
    assert many.returncode == 0, many.stderr
    stores = [
        {path.name: TokenStore(path) for path in (tmp_path / name).glob("*/*") if path.name in ("train", "validation")}
        for name in ("one", "many")
    ]
    found = [{split: content(store) for split, store in of.items()} for of in stores]
    assert found[0] == found[1] and sorted(found[0]) == ["train", "validation"] and found[0]["train"]["rows"] > 2000
    assert (
        not list((tmp_path / "many").glob("*/train/tokens"))
        and len(list((tmp_path / "many").glob("*/train/*/tokens"))) == 3
    )
    (tmp_path / "test.tsv").write_text("label\ttext\nother\tword1\n", "utf-8")
    wrong = run(python, config("wrong", test="test.tsv"), "--processes", "3", "--runner", "direct")
    assert wrong.returncode == 1 and "Traceback" not in wrong.stderr
    assert "test split, example 1: label 'other' does not occur in the training split" in wrong.stderr
    assert not list((tmp_path / "wrong").glob("*"))
