"""Which server `nlp-suite serve` becomes: a stock one where there is one on PATH."""

import os
import subprocess
import sys

import pytest

from nlp_suite import __version__
from nlp_suite.serving import engine
from nlp_suite.serving.status import ServingError


@pytest.fixture
def stock(tmp_path):
    """Environment whose PATH has a server that tells its arguments."""
    file = tmp_path / "tensorflow_model_server"
    file.write_text('#!/bin/sh\necho "stock: $@"\nexit 7\n')
    file.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}


def serve(environment, *arguments):
    command = [sys.executable, "-m", "nlp_suite", "serve", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("chosen", [[], ["--engine=auto"], ["--engine", "tensorflow_model_server"]])
def test_a_stock_server_takes_over_with_all_arguments(stock, chosen):
    found = serve(stock, "--model_name=m", *chosen, "--unknown_to_us=1")
    assert (found.returncode, found.stdout) == (7, "stock: --model_name=m --unknown_to_us=1\n")


def test_the_built_in_one_is_used_where_asked_for(stock):
    found = serve(stock, "--engine=builtin", "--version")
    assert found.stdout == f"nlp_suite {__version__}, the built-in endpoint\n" and found.returncode == 0


def test_flags_reach_a_stock_server_in_its_spelling(stock):
    written = ["--rest-api-port", "8501", "-port=1", "--enable_batching", "--noenable_model_warmup", "--version=F", "x"]
    found = serve(stock, *written)
    wanted = "--rest_api_port=8501 --port=1 --enable_batching=true --enable_model_warmup=false --version=false x"
    assert found.stdout == f"stock: {wanted}\n"


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--host=127.0.0.1"], "--host=127.0.0.1"),
        (["--host", "127.0.0.1"], "--host=127.0.0.1"),
        (["--nopage", "--drain-seconds=3"], "--page=false, --drain_seconds=3"),
    ],
)
def test_flags_that_only_the_built_in_one_has(stock, arguments, named):
    found = serve(stock, *arguments)
    assert found.returncode == 1 and f"error: {named}: only the built-in endpoint has that" in found.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--engine=tensorflow_model_server"], "there is no tensorflow_model_server on PATH"),
        (["--engine=best"], "--engine=best: allowed are auto, builtin, tensorflow_model_server"),
        (["--engine"], "--engine=: allowed are"),
        ([], "server_options.model_base_path and server_options.model_config_file are empty"),
    ],
)
def test_what_cannot_be_served(monkeypatch, arguments, message):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServingError, match=message):
        engine.run(arguments)


def test_help(capsys):
    engine.run(["--help"])
    assert "--rest_api_port=0" in capsys.readouterr().out
