"""The published messages of TensorFlow Serving, made from a descriptor set in a pool of their own.

They live beside those of an installed TensorFlow without meeting them.
"""

from functools import cache
from importlib import resources

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


@cache
def pool() -> descriptor_pool.DescriptorPool:
    """All files of `protos.binpb`."""
    data = resources.files(__package__).joinpath("protos.binpb").read_bytes()
    made = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:  # each stands after what it imports
        made.AddSerializedFile(file.SerializeToString())
    return made


@cache
def message(name: str) -> type:
    """The class of a message: `message("tensorflow.serving.PredictRequest")`."""
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name))


@cache
def rpc(service: str, method: str) -> tuple[str, type, type]:
    """Path, request class and response class of a method: `rpc("PredictionService", "Predict")`."""
    found = pool().FindServiceByName(f"tensorflow.serving.{service}").methods_by_name[method]
    path = f"/{found.containing_service.full_name}/{method}"
    return path, message(found.input_type.full_name), message(found.output_type.full_name)


def data_type(number: int) -> str:
    """The name of a tensor's type: 7 → `DT_STRING`; the number itself where there is none."""
    known = pool().FindEnumTypeByName("tensorflow.DataType").values_by_number
    return known[number].name if number in known else str(number)
