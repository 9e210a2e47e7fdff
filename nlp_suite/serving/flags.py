"""The flags of `tensorflow_model_server`, by their own names: which this endpoint takes, and why it refuses the others."""

import difflib
from dataclasses import dataclass

from nlp_suite.serving.status import Code, ServingError

HERE = "this endpoint's own"


@dataclass(frozen=True)
class Flag:
    """One flag: its type, default and help; `refused` says why it cannot be set here."""

    default: bool | int | str
    help: str
    refused: str = ""

    @property
    def type(self) -> type:
        return type(self.default)


_NO_GPU = "GPUs are left to a stock server"
_SAME = "one loop serves all REST requests; inference has threads of its own"
_NOT_HERE = "this endpoint does not have that"

FLAGS = {
    "port": Flag(8500, "TCP port of gRPC; 0: none"),
    "rest_api_port": Flag(0, "TCP port of REST and of the page; 0: none"),
    "grpc_socket_path": Flag("", "UNIX socket that gRPC listens on as well"),
    "grpc_channel_arguments": Flag("", "gRPC channel arguments: key=value,key=value"),
    "grpc_max_threads": Flag(64, "most gRPC requests that run at once"),
    "rest_api_num_threads": Flag(64, "most REST requests that run at once"),
    "rest_api_timeout_in_ms": Flag(30000, "milliseconds for a REST request"),
    "rest_api_enable_cors_support": Flag(False, "let pages of other origins call the REST interface"),
    "model_name": Flag("default", "name of the model, where there is no model_config_file"),
    "model_base_path": Flag("", "folder of its versions, where there is no model_config_file"),
    "model_config_file": Flag("", "text-format ModelServerConfig: the list of models"),
    "model_config_file_poll_wait_seconds": Flag(0, "how often the list is read again; 0: never"),
    "file_system_poll_wait_seconds": Flag(1, "how often new versions are looked for; 0: once"),
    "max_num_load_retries": Flag(5, "how often a failed load is tried again"),
    "load_retry_interval_micros": Flag(60_000_000, "microseconds between two tries"),
    "num_load_threads": Flag(0, "versions that load at once; 0: one a core"),
    "enable_batching": Flag(False, "put requests together"),
    "batching_parameters_file": Flag("", "text-format BatchingParameters"),
    "enable_model_warmup": Flag(True, "run a version's warm-up file before it is available"),
    "num_request_iterations_for_warmup": Flag(0, "times that each warm-up record runs; 0: once"),
    "monitoring_config_file": Flag("", "text-format MonitoringConfig: Prometheus metrics"),
    "ssl_config_file": Flag("", "text-format SSLConfig: key and certificate of the gRPC port"),
    "saved_model_tags": Flag("serve", "tags of the MetaGraph to load, by commas"),
    "allow_version_labels_for_unavailable_models": Flag(False, "whether a new label may name a version not available"),
    "tensorflow_session_parallelism": Flag(0, "both of the next two, where they are 0"),
    "tensorflow_intra_op_parallelism": Flag(0, "threads of one operation; 0: one, requests run side by side"),
    "tensorflow_inter_op_parallelism": Flag(0, "threads that operations of all requests share; 0: one a core"),
    "enable_grpc_healthcheck_service": Flag(False, "gRPC's health service"),
    "enable_serialization_as_tensor_content": Flag(False, "numbers in answers as tensor_content"),
    "xla_cpu_compilation_enabled": Flag(False, "let XLA compile functions that ask for it"),
    "version": Flag(False, "print the version and end"),
    "engine": Flag(
        "auto", f"({HERE}) auto: a tensorflow_model_server on PATH, else builtin; builtin; tensorflow_model_server"
    ),
    "host": Flag("0.0.0.0", f"({HERE}) address to listen on"),
    "rest_api_max_body_bytes": Flag(64 * 2**20, f"({HERE}) most bytes of a REST request, unpacked"),
    "grpc_max_message_bytes": Flag(2**31 - 1, f"({HERE}) most bytes of a gRPC message and of an input tensor"),
    "drain_seconds": Flag(30, f"({HERE}) most seconds that running requests get after SIGTERM"),
    "page": Flag(True, f"({HERE}) a page at / of the REST port to try the models"),
    # Known to the stock server, not to this one:
    "enable_per_model_batching_parameters": Flag(False, "", "give batching_parameters_file"),
    "num_unload_threads": Flag(0, "", "each version is unloaded by a thread of its own"),
    "flush_filesystem_caches": Flag(True, "", _NOT_HERE),
    "per_process_gpu_memory_fraction": Flag("", "", _NO_GPU),
    "xla_gpu_compilation_enabled": Flag(False, "", _NO_GPU),
    "enable_signature_method_name_check": Flag(False, "", _NOT_HERE),
    "enable_profiler": Flag(True, "", _NOT_HERE),
    "platform_config_file": Flag("", "", "the platform is tensorflow"),
    "tensorflow_session_config_file": Flag(
        "", "", "see tensorflow_intra_op_parallelism and tensorflow_inter_op_parallelism"
    ),
    "remove_unused_fields_from_bundle_metagraph": Flag(True, "", _NOT_HERE),
    "prefer_tflite_model": Flag(False, "", "TensorFlow Lite models are not served"),
    "num_tflite_pools": Flag(1, "", "TensorFlow Lite models are not served"),
    "num_tflite_interpreters_per_pool": Flag(1, "", "TensorFlow Lite models are not served"),
    "mixed_precision": Flag("", "", _NOT_HERE),
    "skip_initialize_tpu": Flag(False, "", "TPUs are not served"),
    "thread_pool_factory_config_file": Flag("", "", _NOT_HERE),
}
_BOOLEANS = {"true": True, "1": True, "t": True, "y": True, "yes": True}
_BOOLEANS |= {"false": False, "0": False, "f": False, "n": False, "no": False}


class Options:
    """Values of all flags as attributes.

    Example:
        >>> Options(model_name="sentiment", rest_api_port=8501).rest_api_timeout_in_ms
        30000
    """

    def __init__(self, **given):
        for name in given:
            _flag(name)
        self.given = dict(given)
        for name, flag in FLAGS.items():
            setattr(self, name, given.get(name, flag.default))


def parse_flags(arguments: list[str]) -> Options:
    """Reads `--name=value`, `--name value`, and of booleans `--name`, `--name=false` and `--noname`.

    Raises:
        ServingError: an unknown flag, one that is not supported here, or a value of the wrong type.

    Example:
        >>> parse_flags(["--model_name=sentiment", "--enable_batching"]).enable_batching
        True
    """
    given, waiting = {}, list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if not argument.startswith("-"):
            raise _invalid(f"{argument!r} is no flag; flags are written --name=value")
        name, equals, value = argument.lstrip("-").partition("=")
        name = name.replace("-", "_")
        if (
            name.startswith("no")
            and name not in FLAGS
            and FLAGS.get(name[2:], Flag("", "")).type is bool
            and not equals
        ):
            name, equals, value = name[2:], "=", "false"
        flag = _flag(name)
        if not equals and flag.type is bool:
            value = waiting.pop(0) if waiting and waiting[0].lower() in ("true", "false") else "true"
        elif not equals:
            if not waiting:
                raise _invalid(f"--{name} needs a value")
            value = waiting.pop(0)
        given[name] = _value(name, flag, value)
    return Options(**given)


def _flag(name: str) -> Flag:
    if name not in FLAGS:
        near = difflib.get_close_matches(name, FLAGS, 1)
        hint = f"; did you mean --{near[0]}?" if near else "; `nlp-suite serve --help` lists them"
        raise _invalid(f"unknown flag --{name}{hint}")
    if FLAGS[name].refused:
        raise _invalid(f"--{name} is not supported by the built-in endpoint: {FLAGS[name].refused}")
    return FLAGS[name]


def _value(name, flag, text):
    if flag.type is bool:
        if text.lower() not in _BOOLEANS:
            raise _invalid(f"--{name}={text}: true or false is expected")
        return _BOOLEANS[text.lower()]
    if flag.type is int:
        try:
            value = int(text)
        except ValueError:
            raise _invalid(f"--{name}={text}: a whole number is expected") from None
        if value < 0:
            raise _invalid(f"--{name}={text}: 0 or more is expected")
        return value
    return text


def help_text() -> str:
    """The flags that can be set, one a line, with their defaults."""
    lines = []
    for name, flag in FLAGS.items():
        if not flag.refused:
            default = str(flag.default).lower() if flag.type is bool else repr(flag.default)
            lines.append(f"  --{name}={default}\n        {flag.help}")
    return "\n".join(lines)


def _invalid(text):
    return ServingError(Code.INVALID_ARGUMENT, text)
