"""Flags by the names and in the forms of tensorflow_model_server."""

import re

import pytest

from nlp_suite.serving.flags import FLAGS, Options, help_text, parse_flags
from nlp_suite.serving.status import Code, ServingError


def test_the_defaults_are_the_stock_servers():
    options = parse_flags([])
    wanted = {
        "port": 8500,
        "rest_api_port": 0,
        "rest_api_timeout_in_ms": 30000,
        "model_name": "default",
        "model_config_file_poll_wait_seconds": 0,
        "file_system_poll_wait_seconds": 1,
        "max_num_load_retries": 5,
        "load_retry_interval_micros": 60_000_000,
        "enable_batching": False,
        "enable_model_warmup": True,
        "num_request_iterations_for_warmup": 0,
        "saved_model_tags": "serve",
        "xla_cpu_compilation_enabled": False,
    }
    assert {name: getattr(options, name) for name in wanted} == wanted and options.given == {}


@pytest.mark.parametrize(
    "arguments, given",
    [
        (["--port=1", "--model_name=a=b"], {"port": 1, "model_name": "a=b"}),
        (["--port", "1", "--model_name", "m"], {"port": 1, "model_name": "m"}),
        (["-port=1", "--rest-api-port=2"], {"port": 1, "rest_api_port": 2}),
        (["--enable_batching", "--port=1"], {"enable_batching": True, "port": 1}),
        (["--enable_batching", "false"], {"enable_batching": False}),
        (["--enable_batching=1", "--page=F"], {"enable_batching": True, "page": False}),
        (["--noenable_model_warmup"], {"enable_model_warmup": False}),
        (["--model_name=", "--port=1", "--port=2"], {"model_name": "", "port": 2}),
    ],
)
def test_forms(arguments, given):
    options = parse_flags(arguments)
    assert options.given == given and all(getattr(options, name) == value for name, value in given.items())


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--model_nam=m"], "unknown flag --model_nam; did you mean --model_name?"),
        (["--quite_other=m"], "unknown flag --quite_other; `nlp-suite serve --help` lists them"),
        (["8501"], "'8501' is no flag; flags are written --name=value"),
        (["--port"], "--port needs a value"),
        (["--port=many"], "--port=many: a whole number is expected"),
        (["--port=-1"], "--port=-1: 0 or more is expected"),
        (["--enable_batching=perhaps"], "--enable_batching=perhaps: true or false is expected"),
        (["--noport"], "unknown flag --noport"),
        (["--prefer_tflite_model"], "--prefer_tflite_model is not supported by the built-in endpoint: TensorFlow Lite"),
        (["--per_process_gpu_memory_fraction=0.5"], "GPUs are left to a stock server"),
    ],
)
def test_what_cannot_be_is_said(arguments, message):
    with pytest.raises(ServingError, match=re.escape(message)) as caught:
        parse_flags(arguments)
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_options_of_a_program_are_checked_too():
    assert Options(rest_api_port=8501).rest_api_port == 8501
    with pytest.raises(ServingError, match="did you mean --rest_api_port"):
        Options(rest_port=8501)


def test_help_shows_what_can_be_set():
    shown = set(re.findall(r"--(\w+)=", help_text()))
    assert shown == {name for name, flag in FLAGS.items() if not flag.refused}
    assert "--enable_model_warmup=true" in help_text() and "--model_name='default'" in help_text()
