import json
import os
import stat
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from nlp_suite.cli import app
from tests.serving.endpoint import free_port


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Upper-cases texts."""
    import tensorflow as tf

    path = tmp_path_factory.mktemp("models") / "upper"
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serving_default(text):
        return {"upper": tf.strings.upper(text)}

    tf.saved_model.save(module, str(path / "1"), {"serving_default": serving_default})
    return path


def cli(*arguments, **environment):
    """The command line in a new process, as a user has it."""
    return subprocess.run(
        [sys.executable, "-m", "nlp_suite", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--modle_name=x"], "unknown flag --modle_name; did you mean --model_name?"),
        (["--num_tflite_pools=2"], "--num_tflite_pools is not supported by the built-in endpoint"),
        (["--port=many"], "--port=many: a whole number from 0 to 65535 is expected"),
        (["--engine=nginx"], "--engine=nginx: allowed are auto, builtin, tensorflow_model_server"),
        ([], "model_base_path and server_options.model_config_file are empty"),
        (["sentiment"], "'sentiment' is no flag"),
    ],
)
def test_flags_that_cannot_be(arguments, said):
    result = CliRunner().invoke(app, ["serve", *arguments])
    assert result.exit_code == 1 and said in str(result.exception)


def test_help_lists_the_flags_with_their_defaults():
    result = CliRunner().invoke(app, ["serve", "--help"])
    assert result.exit_code == 0
    assert "--rest_api_timeout_in_ms=30000" in result.output and "num_tflite_pools" not in result.output


def test_a_stock_server_on_path_is_started_with_the_flags_as_they_are(tmp_path):
    binary = tmp_path / "tensorflow_model_server"
    binary.write_text('#!/bin/sh\necho "stock: $@"\n')
    binary.chmod(binary.stat().st_mode | stat.S_IEXEC)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    flags = ["--model_name=m", "--model_base_path=/m", "--num_tflite_pools=2"]
    assert cli("serve", *flags, PATH=path).stdout == f"stock: {' '.join(flags)}\n"
    assert cli("serve", "--engine=auto", *flags, PATH=path).stdout.startswith("stock: --model_name")
    own = cli("serve", "--page=false", *flags, PATH=path)
    assert (
        own.returncode == 1 and "--page=false: only the built-in endpoint has that; add --engine=builtin" in own.stderr
    )
    ours = cli("serve", "--engine=builtin", *flags, PATH=path)
    assert ours.returncode == 1 and "--num_tflite_pools is not supported" in ours.stderr


def test_a_stock_server_that_is_not_there():
    result = CliRunner().invoke(app, ["serve", "--engine=tensorflow_model_server"])
    assert result.exit_code == 1 and "there is no tensorflow_model_server on PATH" in str(result.exception)


def test_doctor_says_so_in_words_in_json_and_by_its_exit_code(model, tmp_path):
    told = CliRunner().invoke(app, ["doctor", str(model), "--json"])
    report = json.loads(told.output.strip().splitlines()[-1])
    assert told.exit_code == 0 and report["ok"] and report["server_version"] == "2.19"
    broken = tmp_path / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "saved_model.pb").write_bytes((model / "1" / "saved_model.pb").read_bytes()[:100])
    told = CliRunner().invoke(app, ["doctor", str(broken.parent)])
    assert told.exit_code == 1 and "not ready" in told.output


def test_query_asks_over_rest_and_grpc(model, tmp_path):
    from nlp_suite.serving.flags import Options
    from nlp_suite.serving.server import Server

    ports = free_port(), free_port()
    flags = {"model_base_path": str(model), "host": "127.0.0.1", "port": ports[0], "rest_api_port": ports[1]}
    with Server(Options(**flags)):
        for arguments in (
            [f"127.0.0.1:{ports[1]}"],
            [f"grpc://127.0.0.1:{ports[0]}"],
            [f"127.0.0.1:{ports[0]}", "--grpc"],
        ):
            told = CliRunner().invoke(app, ["query", *arguments, "--json", "Grüße", "zwei"])
            assert told.exit_code == 0, told.output
            assert "ZWEI" in told.output
        rest, file = f"127.0.0.1:{ports[1]}", tmp_path / "texts"
        file.write_text("".join(f"line {n}\n" for n in range(70)) + "\nlast", "utf-8")
        told = CliRunner().invoke(app, ["query", rest, "--input", str(file)])
        assert [line for line in told.output.splitlines() if "LINE" in line] == [
            f"  upper  LINE {n}" for n in range(70)
        ]
        assert told.output.endswith("last\n  upper  LAST\n")
        told = CliRunner().invoke(app, ["query", rest, "--json", "-"], input=b"a\n\xff\n")
        assert [json.loads(line)["upper"] for line in told.output.splitlines()] == ["A", "\ufffd"]
        lost = CliRunner().invoke(app, ["query", rest, "--model", "other", "a"])
    assert lost.exit_code == 1 and "Servable not found for request: Latest(other)" in str(lost.exception)


def test_query_takes_its_texts_from_one_place(tmp_path):
    for arguments in ([], ["a", f"--input={tmp_path}"]):
        told = CliRunner().invoke(app, ["query", "127.0.0.1:1", *arguments])
        assert told.exit_code == 1 and "one of the three" in str(told.exception)
    told = CliRunner().invoke(app, ["query", "127.0.0.1:1", f"--input={tmp_path / 'none'}"])
    assert told.exit_code == 1 and "no such file" in str(told.exception)
