"""TensorFlow Serving's config files: its published protos, and the small ones that its Python package lacks."""

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

from nlp_suite.serving.status import Code, ServingError

_PACKAGE = "tensorflow.serving"
_WRAPPED = {"int64": ".google.protobuf.Int64Value", "string": ".google.protobuf.StringValue"}
_WRAPPED["bool"] = ".google.protobuf.BoolValue"
_FIELDS = {  # message → field → (number, type); "wrapped X" is X's message in google.protobuf, which knows absence
    "BatchingParameters": {
        "max_batch_size": (1, "wrapped int64"),
        "batch_timeout_micros": (2, "wrapped int64"),
        "max_enqueued_batches": (3, "wrapped int64"),
        "num_batch_threads": (4, "wrapped int64"),
        "thread_pool_name": (5, "wrapped string"),
        "allowed_batch_sizes": (6, "repeated int64"),
        "pad_variable_length_inputs": (7, "bool"),
        "enable_large_batch_splitting": (8, "wrapped bool"),
        "max_execution_batch_size": (9, "wrapped int64"),
    },
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    "MonitoringConfig": {"prometheus_config": (1, "PrometheusConfig")},
    "SSLConfig": {
        "server_key": (1, "string"),
        "server_cert": (2, "string"),
        "custom_ca": (3, "string"),
        "client_verify": (4, "bool"),
    },
}


@cache
def _messages() -> dict[str, Any]:
    """The message classes of `_FIELDS`, in a separate pool."""
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="nlp_suite/server_files.proto", package=_PACKAGE, syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = field_type.LABEL_REPEATED if kind.startswith("repeated ") else field_type.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            scalar = kind.removeprefix("repeated ")
            if kind.startswith("wrapped "):
                added.type, added.type_name = field_type.TYPE_MESSAGE, _WRAPPED[kind.removeprefix("wrapped ")]
            elif scalar in _FIELDS:
                added.type, added.type_name = field_type.TYPE_MESSAGE, f".{_PACKAGE}.{scalar}"
            else:
                added.type = getattr(field_type, f"TYPE_{scalar.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _FIELDS}


def read_text_proto(path: str | Path, kind: str) -> Any:
    """A text-format file as a message.

    Args:
        path: the file.
        kind: `ModelServerConfig`, `BatchingParameters`, `MonitoringConfig` or `SSLConfig`.

    Raises:
        ServingError: INVALID_ARGUMENT where the text is no such message, NOT_FOUND where the file cannot be read.

    Example:
        >>> read_text_proto("configs/serving/batching.config", "BatchingParameters").max_batch_size.value
        32
    """
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ServingError(Code.NOT_FOUND, f"cannot read {str(path)!r}: {error}") from error
    try:
        return text_format.Parse(text, message(kind))
    except text_format.ParseError as error:
        wanted = f"{_PACKAGE}.{kind}"
        raise ServingError(
            Code.INVALID_ARGUMENT, f"Error parsing text-format {wanted}: {error} (file {str(path)!r})"
        ) from error


def message(kind: str) -> Any:
    """An empty message of a kind that `read_text_proto` takes."""
    if kind == "ModelServerConfig":
        from tensorflow_serving.config import model_server_config_pb2

        return model_server_config_pb2.ModelServerConfig()
    return _messages()[kind]()
