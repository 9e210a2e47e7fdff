"""The flags of `tensorflow_model_server`, under the same names: which this endpoint takes, and why it refuses the others."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlp_suite.serving.log_lines import LEVELS
from nlp_suite.serving.status import invalid_argument

_INT32 = 2**31 - 1
_MAX_THREADS = 4096  # TensorFlow starts all of them at once, and ends the process where the system has no more


@dataclass(frozen=True)
class Flag:
    """One flag: its type, default and help; `refused` says why it cannot be set here.

    Whole numbers are from `minimum` to `maximum`, texts one of `choices` where there are some; `builtin_only` flags are
    unknown to the stock server.
    """

    default: bool | int | str
    help: str
    refused: str = ""
    minimum: int = 0
    maximum: int = _INT32
    builtin_only: bool = False
    choices: tuple[str, ...] = ()

    @property
    def type(self) -> type:
        """Of its values."""
        return type(self.default)


_NO_GPU = "GPUs are left to a stock server"
_NOT_HERE = "this endpoint does not have that"

FLAGS = {
    "port": Flag(8500, "TCP port of gRPC; 0: none", maximum=65535),
    "rest_api_port": Flag(0, "TCP port of REST and of the page; 0: none", maximum=65535),
    "grpc_socket_path": Flag("", "UNIX socket that gRPC listens on as well"),
    "grpc_channel_arguments": Flag("", "gRPC channel arguments: key=value,key=value"),
    "grpc_max_threads": Flag(64, "maximum of gRPC requests that run at once", minimum=1),
    "rest_api_num_threads": Flag(64, "maximum of REST requests that run at once", minimum=1),
    "rest_api_timeout_in_ms": Flag(30000, "milliseconds for a REST request; 0: no limit"),
    "rest_api_enable_cors_support": Flag(False, "let pages of other origins call the REST interface"),
    "model_name": Flag("default", "name of the model, where there is no model_config_file"),
    "model_base_path": Flag("", "folder of its versions, where there is no model_config_file"),
    "model_config_file": Flag("", "text-format ModelServerConfig: the list of models"),
    "model_config_file_poll_wait_seconds": Flag(0, "how often the list is read again; 0: never"),
    "file_system_poll_wait_seconds": Flag(1, "how often new versions are looked for; 0: once"),
    "max_num_load_retries": Flag(5, "how often a failed load is tried again"),
    "load_retry_interval_micros": Flag(60_000_000, "microseconds between two tries", maximum=10**15),
    "num_load_threads": Flag(0, "versions that load at once; 0: one a core"),
    "enable_batching": Flag(False, "run requests together in batches"),
    "batching_parameters_file": Flag("", "text-format BatchingParameters"),
    "enable_model_warmup": Flag(True, "run a version's warm-up file before it is available"),
    "num_request_iterations_for_warmup": Flag(0, "times that each warm-up record runs; 0: once"),
    "monitoring_config_file": Flag("", "text-format MonitoringConfig: Prometheus metrics"),
    "ssl_config_file": Flag("", "text-format SSLConfig: key and certificate of the gRPC port"),
    "saved_model_tags": Flag("serve", "tags of the MetaGraph to load, by commas"),
    "allow_version_labels_for_unavailable_models": Flag(False, "whether a new label may name a version not available"),
    "tensorflow_session_parallelism": Flag(0, "both of the next two, where they are 0", maximum=_MAX_THREADS),
    "tensorflow_intra_op_parallelism": Flag(
        0, "threads of one operation; 0: one, requests run side by side", maximum=_MAX_THREADS
    ),
    "tensorflow_inter_op_parallelism": Flag(
        0, "threads that operations of all requests share; 0: one a core", maximum=_MAX_THREADS
    ),
    "enable_grpc_healthcheck_service": Flag(False, "gRPC's health service"),
    "enable_serialization_as_tensor_content": Flag(False, "tensors in answers as tensor_content"),
    "xla_cpu_compilation_enabled": Flag(False, "let XLA compile the signatures that ask for it"),
    "version": Flag(False, "print the version and end"),
    "engine": Flag(
        "auto",
        "auto: a tensorflow_model_server on PATH, else builtin; builtin; tensorflow_model_server",
        builtin_only=True,
    ),
    "host": Flag(
        "", "address or name to listen on; empty, 0.0.0.0 or ::: every address, IPv4 and IPv6", builtin_only=True
    ),
    "rest_api_max_body_bytes": Flag(
        64 * 2**20, "maximum bytes of a REST request, unpacked", minimum=1, builtin_only=True
    ),
    "grpc_max_message_bytes": Flag(
        64 * 2**20, "maximum bytes of a gRPC message and of an input tensor", minimum=1, builtin_only=True
    ),
    "max_request_rows": Flag(16_384, "maximum rows (texts, examples) of a request", minimum=1, builtin_only=True),
    "max_row_bytes": Flag(
        4 * 2**20, "maximum bytes of a row of an input, or of an example", minimum=1, builtin_only=True
    ),
    "max_rows_at_once": Flag(
        64,
        "larger requests run in slices of so many rows; also the maximum of requests that run together",
        minimum=1,
        builtin_only=True,
    ),
    "max_concurrent_runs": Flag(
        0, "graphs that run at once, others wait; 0: one a core", maximum=_MAX_THREADS, builtin_only=True
    ),
    "run_waiting_requests_together": Flag(
        True,
        "requests that had to wait run together, where an export says that its rows are independent",
        builtin_only=True,
    ),
    "drain_seconds": Flag(30, "maximum seconds that running requests get after SIGTERM", builtin_only=True),
    "page": Flag(True, "a page at / of the REST port to try the models", builtin_only=True),
    "page_hosts": Flag(
        "",
        "names under which browsers may ask for the page, besides IP addresses, localhost and this machine's name: "
        "name,name; *: any, which lets other sites in by DNS rebinding",
        builtin_only=True,
    ),
    "log_requests": Flag(
        "off",
        "a line in the log for each request: off, errors (those that fail) or all; without their texts",
        builtin_only=True,
        choices=("off", "errors", "all"),
    ),
    "log_text": Flag(False, "also the texts of requests, in such lines", builtin_only=True),
    "log_format": Flag(
        "text", "lines of the log: text, or json (an object each)", builtin_only=True, choices=("text", "json")
    ),
    "log_level": Flag(
        "info", "lowest level of the log's lines: debug, info, warning or error", builtin_only=True, choices=LEVELS
    ),
    # Known to the stock server, not to this one:
    "enable_per_model_batching_parameters": Flag(False, "", "give batching_parameters_file"),
    "num_unload_threads": Flag(0, "", "each version is unloaded by a separate thread"),
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
BOOLEANS = {"true": True, "1": True, "t": True, "y": True, "yes": True}
BOOLEANS |= {"false": False, "0": False, "f": False, "n": False, "no": False}


class Options:
    """Values of all flags as attributes.

    Raises:
        ServingError: an unknown flag, one that is not supported here, a number out of range, or nothing to listen on.

    Example:
        >>> Options(model_name="sentiment", rest_api_port=8501).rest_api_timeout_in_ms
        30000
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # an attribute for each flag

    def __init__(self, **values: Any):
        for name, value in values.items():
            flag = _flag(name)
            if flag.type is int and not flag.minimum <= value <= flag.maximum:
                raise invalid_argument(f"--{name}={value}: allowed are {flag.minimum} to {flag.maximum}")
            if flag.choices and value not in flag.choices:
                raise invalid_argument(f"--{name}={value}: allowed are {', '.join(flag.choices)}")
        for name, flag in FLAGS.items():
            setattr(self, name, values.get(name, flag.default))
        channel_arguments(self.grpc_channel_arguments)
        if not (self.port or self.rest_api_port or self.grpc_socket_path):
            raise invalid_argument(
                "--port=0 and --rest_api_port=0 leave nothing to listen on: give one of them from 1 to 65535, "
                "or --grpc_socket_path"
            )


def parse_flags(arguments: list[str]) -> Options:
    """Reads `--name=value`, `--name value`, and of booleans `--name`, `--name=false` and `--noname`.

    Raises:
        ServingError: an unknown flag, one that is not supported here, or a value of the wrong type.

    Example:
        >>> parse_flags(["--model_name=sentiment", "--enable_batching"]).enable_batching
        True
    """
    values = {}
    for written, name, value in read_flags(arguments):
        if name is None:
            raise invalid_argument(f"{written!r} is no flag; flags are written --name=value")
        flag = _flag(name)
        if value is None:
            raise invalid_argument(f"--{name} needs a value")
        values[name] = _value(name, flag, value)
    return Options(**values)


def read_flags(arguments: list[str]) -> Iterator[tuple[str, str | None, str | None]]:
    """Each flag as written, its name in the stock spelling and its value.

    The name is None for what is no flag, the value for one without, and of flags unknown to both servers the next
    argument stays apart.

    Example:
        >>> list(read_flags(["--rest-api-port", "8501", "--nopage"]))
        [('--rest-api-port', 'rest_api_port', '8501'), ('--nopage', 'page', 'false')]
    """
    rest = list(arguments)
    while rest:
        written = rest.pop(0)
        if not written.startswith("-"):
            yield written, None, None
            continue
        name, equals, text = written.lstrip("-").partition("=")
        name, value = name.replace("-", "_"), text if equals else None
        positive = name.removeprefix("no")
        if value is None and name not in FLAGS and positive in FLAGS and FLAGS[positive].type is bool:
            name, value = positive, "false"
        if value is None and name in FLAGS:
            if FLAGS[name].type is bool:
                value = rest.pop(0) if rest and rest[0].lower() in ("true", "false") else "true"
            elif rest:
                value = rest.pop(0)
        yield written, name, value


def channel_arguments(text: str) -> dict[str, int | str]:
    """The arguments in `grpc_channel_arguments`: a value that is a whole number is one, any other a text.

    Raises:
        ServingError: an argument that is not `key=value`, or a number out of range.

    Example:
        >>> channel_arguments("grpc.max_connection_age_ms=60000,grpc.lb_policy_name=round_robin")
        {'grpc.max_connection_age_ms': 60000, 'grpc.lb_policy_name': 'round_robin'}
    """
    arguments: dict[str, int | str] = {}
    for argument in filter(None, text.split(",")):
        key, equals, value = argument.partition("=")
        if not equals or not key:
            raise invalid_argument(f"--grpc_channel_arguments: {argument!r} is not key=value")
        if not re.fullmatch(r"\s*[+-]?[0-9]+\s*", value):
            arguments[key] = value
        elif len(value) <= 20 and -_INT32 <= int(value) <= _INT32:
            arguments[key] = int(value)
        else:
            raise invalid_argument(
                f"--grpc_channel_arguments: {argument!r}: a whole number from {-_INT32} to {_INT32} is expected"
            )
    return arguments


def _flag(name: str) -> Flag:
    if name not in FLAGS:
        near = difflib.get_close_matches(name, FLAGS, 1)
        hint = f"; did you mean --{near[0]}?" if near else "; `nlp-suite serve --help` lists them"
        raise invalid_argument(f"unknown flag --{name}{hint}")
    if FLAGS[name].refused:
        raise invalid_argument(f"--{name} is not supported by the built-in endpoint: {FLAGS[name].refused}")
    return FLAGS[name]


def _value(name: str, flag: Flag, text: str) -> bool | int | str:
    if flag.type is bool:
        if text.lower() not in BOOLEANS:
            raise invalid_argument(f"--{name}={text}: true or false is expected")
        return BOOLEANS[text.lower()]
    if flag.type is int:
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
            raise invalid_argument(f"--{name}={text}: a whole number from {flag.minimum} to {flag.maximum} is expected")
        return int(text)
    return text


def help_text() -> str:
    """The flags that can be set, one a line, with their defaults."""
    lines = []
    for name, flag in FLAGS.items():
        if not flag.refused:
            default = str(flag.default).lower() if flag.type is bool else repr(flag.default)
            scope = "(built-in endpoint only) " if flag.builtin_only else ""
            lines.append(f"  --{name}={default}\n        {scope}{flag.help}")
    return "\n".join(lines)
