"""gRPC reflection under both of its names: clients ask `grpc.reflection.v1` first, grpcio-reflection has `v1alpha` only."""

from collections.abc import Iterable, Sequence
from typing import Any

_V1 = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: Any, services: Sequence[Any]) -> None:
    """Lets clients ask a server for the descriptors of its services, under `v1` and `v1alpha`, which differ in name only.

    Args:
        server: the gRPC server.
        services: descriptors of its services.
    """
    import grpc
    from google.protobuf import descriptor_pb2, text_format
    from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

    text = text_format.MessageToString(
        descriptor_pb2.FileDescriptorProto.FromString(reflection_pb2.DESCRIPTOR.serialized_pb)
    )
    v1 = text_format.Parse(text.replace("v1alpha", "v1"), descriptor_pb2.FileDescriptorProto())
    names = [*(service.full_name for service in services), reflection.SERVICE_NAME, _V1]
    files = [reflection_pb2.DESCRIPTOR, *(service.file for service in services)]
    servicer = reflection.ReflectionServicer(names, pool=_Symbols(files, v1.SerializeToString()))
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_V1, {"ServerReflectionInfo": handler}),))


class _Symbols:
    """A descriptor pool that knows methods as symbols too, as C++'s does.

    Args:
        files: file descriptors; those that they depend on are in the pool too.
        serialized: one more file.
    """

    def __init__(self, files: Iterable[Any], serialized: bytes):
        from google.protobuf import descriptor_pool

        self._pool, self._added = descriptor_pool.DescriptorPool(), set[str]()
        for file in files:
            self._add(file)
        self._pool.AddSerializedFile(serialized)

    def _add(self, file: Any) -> None:
        if file.name not in self._added:
            self._added.add(file.name)
            for dependency in file.dependencies:
                self._add(dependency)
            self._pool.AddSerializedFile(file.serialized_pb)

    def FindFileContainingSymbol(self, symbol: str) -> Any:
        """The file that defines a symbol.

        Raises:
            KeyError: there is none.
        """
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            return self._pool.FindServiceByName(service).methods_by_name[method].containing_service.file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)
