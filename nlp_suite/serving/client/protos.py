"""The published messages of TensorFlow Serving, made from a descriptor set in a separate pool.

So they do not conflict with those of an installed TensorFlow.
"""

from functools import cache
from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


@cache
def pool() -> Any:
    """All files of `protos.binpb`."""
    data = resources.files(__package__).joinpath("protos.binpb").read_bytes()
    descriptors = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:  # each comes after what it imports
        descriptors.AddSerializedFile(file.SerializeToString())
    return descriptors


@cache
def message(name: str) -> Any:
    """The class of a message: `message("tensorflow.serving.PredictRequest")`."""
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name))


@cache
def rpc(service: str, method: str) -> tuple[str, Any, Any]:
    """Path, request class and response class of a method: `rpc("PredictionService", "Predict")`."""
    descriptor = pool().FindServiceByName(f"tensorflow.serving.{service}").methods_by_name[method]
    path = f"/{descriptor.containing_service.full_name}/{method}"
    return path, message(descriptor.input_type.full_name), message(descriptor.output_type.full_name)


def data_type(number: int) -> str:
    """The name of a tensor's type: 7 → `DT_STRING`; the number itself where there is none."""
    known = pool().FindEnumTypeByName("tensorflow.DataType").values_by_number
    return known[number].name if number in known else str(number)
