"""Clients of TensorFlow Serving and of the built-in endpoint, over gRPC and REST; neither imports TensorFlow.

with GrpcClient("localhost:8500") as client:
    client.predict("sentiment", ["A wonderful film."])["label"]
"""

from typing import TYPE_CHECKING, Any

from nlp_suite.serving.client.answers import Metadata, Signature, TensorSpec, VersionStatus
from nlp_suite.serving.client.errors import ServingClientError

if TYPE_CHECKING:
    from nlp_suite.serving.client.asking import query
    from nlp_suite.serving.client.grpc_client import GrpcClient
    from nlp_suite.serving.client.rest_client import RestClient

__all__ = [
    "GrpcClient",
    "Metadata",
    "RestClient",
    "ServingClientError",
    "Signature",
    "TensorSpec",
    "VersionStatus",
    "query",
]


def __getattr__(name: str) -> Any:
    # Imported when asked for: the REST client must not need gRPC.
    if name == "GrpcClient":
        from nlp_suite.serving.client.grpc_client import GrpcClient

        return GrpcClient
    if name == "RestClient":
        from nlp_suite.serving.client.rest_client import RestClient

        return RestClient
    if name == "query":
        from nlp_suite.serving.client.asking import query

        return query
    raise AttributeError(f"module {__name__!r} has no attribute {name!r} (public: {', '.join(__all__)})")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
