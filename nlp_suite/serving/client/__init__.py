"""Clients of TensorFlow Serving and of the built-in endpoint, over gRPC and REST; neither imports TensorFlow.

with GrpcClient("localhost:8500") as client:
    client.predict("sentiment", ["A wonderful film."])["label"]
"""

from nlp_suite.serving.client.answers import Metadata, Signature, TensorSpec, VersionStatus
from nlp_suite.serving.client.errors import ServingClientError

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

_DOORS = {"GrpcClient": "grpc_client", "RestClient": "rest_client", "query": "asking"}  # imported when asked for


def __getattr__(name):
    import importlib

    if name not in _DOORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r} (public: {', '.join(__all__)})")
    return getattr(importlib.import_module(f"{__name__}.{_DOORS[name]}"), name)
