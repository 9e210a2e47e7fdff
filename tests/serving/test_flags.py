"""Flags by the names and in the forms of tensorflow_model_server."""

import re

import pytest

from nlp_suite.serving.flags import FLAGS, Options, channel_arguments, help_text, parse_flags
from nlp_suite.serving.status import Code, ServingError

DEFAULTS = {name: flag.default for name, flag in FLAGS.items()}


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
    assert {name: getattr(options, name) for name in wanted} == wanted and vars(options) == DEFAULTS


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
    assert vars(parse_flags(arguments)) == DEFAULTS | given


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--model_nam=m"], "unknown flag --model_nam; did you mean --model_name?"),
        (["--quite_other=m"], "unknown flag --quite_other; `nlp-suite serve --help` lists them"),
        (["8501"], "'8501' is no flag; flags are written --name=value"),
        (["--port"], "--port needs a value"),
        (["--port=many"], "--port=many: a whole number from 0 to 65535 is expected"),
        (["--port=²"], "--port=²: a whole number from 0 to 65535 is expected"),
        (["--port=-1"], "--port=-1: allowed are 0 to 65535"),
        (["--port=99999"], "--port=99999: allowed are 0 to 65535"),
        (["--rest_api_port=65536"], "--rest_api_port=65536: allowed are 0 to 65535"),
        (["--grpc_max_threads=0"], "--grpc_max_threads=0: allowed are 1 to 2147483647"),
        (["--rest_api_num_threads=0"], "--rest_api_num_threads=0: allowed are 1 to 2147483647"),
        (["--rest_api_max_body_bytes=0"], "--rest_api_max_body_bytes=0: allowed are 1 to 2147483647"),
        (["--drain_seconds=9999999999"], "--drain_seconds=9999999999: allowed are 0 to 2147483647"),
        (
            ["--tensorflow_intra_op_parallelism=9999999999"],
            "--tensorflow_intra_op_parallelism=9999999999: allowed are 0 to 4096",
        ),
        (["--port=0"], "--port=0 and --rest_api_port=0 leave nothing to listen on"),
        (["--grpc_channel_arguments=grpc.x"], "--grpc_channel_arguments: 'grpc.x' is not key=value"),
        (["--grpc_channel_arguments=grpc.a=99999999999"], "'grpc.a=99999999999': a whole number from -2147483647 to"),
        (["--grpc_channel_arguments=grpc.a=1,=2"], "--grpc_channel_arguments: '=2' is not key=value"),
        (["--enable_batching=perhaps"], "--enable_batching=perhaps: true or false is expected"),
        (["--log_requests=some"], "--log_requests=some: allowed are off, errors, all"),
        (["--log_level=INFO"], "--log_level=INFO: allowed are debug, info, warning, error"),
        (["--log_format=xml"], "--log_format=xml: allowed are text, json"),
        (["--noport"], "unknown flag --noport"),
        (["--prefer_tflite_model"], "--prefer_tflite_model is not supported by the built-in endpoint: TensorFlow Lite"),
        (["--per_process_gpu_memory_fraction=0.5"], "GPUs are left to a stock server"),
    ],
)
def test_what_cannot_be_is_said(arguments, message):
    with pytest.raises(ServingError, match=re.escape(message)) as caught:
        parse_flags(arguments)
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_numbers_at_the_ends_of_their_ranges():
    assert parse_flags(["--port=65535", "--grpc_max_threads=1", "--tensorflow_inter_op_parallelism=4096"]).port == 65535
    assert Options(port=0, grpc_socket_path="socket").rest_api_port == 0
    for name, flag in FLAGS.items():
        assert flag.type is not int or flag.refused or flag.minimum <= flag.default <= flag.maximum, name


def test_channel_arguments():
    assert channel_arguments("grpc.max_connection_age_ms=60000,,grpc.a=-1") == {
        "grpc.max_connection_age_ms": 60000,
        "grpc.a": -1,
    }


@pytest.mark.parametrize("value", ["soon", "", "1.5", "--1", "true", "1e3", "a=b", "0x10", "1_000", "-"])
def test_a_channel_argument_that_is_no_whole_number_is_a_text_whatever_its_name(value):
    assert channel_arguments(f"grpc.keepalive_time_ms={value}") == {"grpc.keepalive_time_ms": value}


@pytest.mark.parametrize("value, number", [("+5", 5), (" 7 ", 7), ("007", 7), ("-2147483647", -2147483647)])
def test_a_channel_argument_that_is_a_whole_number_is_one_whatever_its_name(value, number):
    assert channel_arguments(f"grpc.default_authority={value}") == {"grpc.default_authority": number}


def test_options_of_a_program_are_checked_too():
    assert Options(rest_api_port=8501).rest_api_port == 8501
    with pytest.raises(ServingError, match="--rest_api_port=99999: allowed are 0 to 65535"):
        Options(rest_api_port=99999)
    with pytest.raises(ServingError, match="did you mean --rest_api_port"):
        Options(rest_port=8501)


def test_help_shows_what_can_be_set():
    shown = set(re.findall(r"--(\w+)=", help_text()))
    assert shown == {name for name, flag in FLAGS.items() if not flag.refused}
    assert "--enable_model_warmup=true" in help_text() and "--model_name='default'" in help_text()
