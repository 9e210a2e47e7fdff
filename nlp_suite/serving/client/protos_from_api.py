"""Writes `protos.binpb` from the installed tensorflow-serving-api: `python -m nlp_suite.serving.client.protos_from_api`."""

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

FILE = Path(__file__).parent / "protos.binpb"


def file_descriptor_set() -> Any:
    """The files of the two services and all that they import, each after what it imports."""
    from tensorflow_serving.apis import get_model_metadata_pb2, model_service_pb2, prediction_service_pb2

    files = descriptor_pb2.FileDescriptorSet()
    added = set()

    def add(file: Any) -> None:
        if file.name in added:
            return
        added.add(file.name)
        for imported in file.dependencies:
            add(imported)
        file.CopyToProto(files.file.add())

    for module in (get_model_metadata_pb2, model_service_pb2, prediction_service_pb2):
        add(module.DESCRIPTOR)
    return files


if __name__ == "__main__":
    FILE.write_bytes(file_descriptor_set().SerializeToString(deterministic=True))
    print(FILE)
