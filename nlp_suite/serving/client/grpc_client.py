"""The gRPC client."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from nlp_suite.serving.client import protos
from nlp_suite.serving.client.answers import Metadata, Signature, TensorSpec, VersionStatus
from nlp_suite.serving.client.base import ModelRef, ServingClient, check_port
from nlp_suite.serving.client.errors import RetryableError, with_retries
from nlp_suite.serving.client.tensors import dtype_of, from_proto, to_proto
from nlp_suite.serving.client.tls import TlsFiles
from nlp_suite.serving.status import Code

_OPTIONS = {
    "grpc.max_send_message_length": -1,
    "grpc.max_receive_message_length": -1,
    "grpc.enable_retries": 0,  # `with_retries` knows the deadline and what may be repeated
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2000,
}


class GrpcClient(ServingClient):
    """A client of the gRPC port.

    Args:
        target: `host:port`, also as `grpc://host:port`; `grpcs://host:port` for TLS.
        timeout: seconds that one call may take, all attempts together; the server is told the rest of them.
        retries: how often a call is tried again that was answered UNAVAILABLE; with exponential back-off.
        ca: PEM file with the authorities to trust, over TLS; default: those that gRPC brings.
        cert: PEM file with the client's certificate, for a server that asks for one.
        key: PEM file with its private key; default: it is in `cert`.
        credentials: of `grpc.ssl_channel_credentials`, instead of files.

    Raises:
        UsageError: an impossible target or timeout, or TLS files that cannot be used or are given without TLS.

    Example:
        >>> with GrpcClient("localhost:8500") as client:
        ...     client.predict("translation", ["A man rides a bicycle."])["translation"]
        array(['Ein Mann fährt Fahrrad.'], dtype=object)
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float = 30.0,
        retries: int = 4,
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        key: str | Path | None = None,
        credentials: Any = None,
    ):
        super().__init__(re.sub("^grpcs?://", "", target).rstrip("/"), timeout, retries)
        if target.startswith("grpcs://"):
            credentials = credentials or TlsFiles(ca, cert, key).grpc_credentials()
        else:
            TlsFiles(ca, cert, key).refuse_without_tls(target, "grpcs://")
        if "/" not in self.target and not self.target.startswith("unix:"):  # gRPC itself reads dns:///host:port
            check_port(self.target, target)
        options = list(_OPTIONS.items())
        if credentials is None:
            self._channel = grpc.insecure_channel(self.target, options)
        else:
            self._channel = grpc.secure_channel(self.target, credentials, options)
        self._methods: dict[tuple[str, str], Callable[..., Any]] = {}

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def classify(
        self,
        model: str,
        texts: list[str],
        *,
        signature: str = "classify",
        feature: str = "text",
        version: int | None = None,
        label: str | None = None,
    ) -> list[list[tuple[str, float]]]:
        """See `ServingClient.classify`."""
        request = self._request("PredictionService", "Classify", ModelRef(model, version, label).check(), signature)
        for text in texts:
            example = request.input.example_list.examples.add()
            value = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
            example.features.feature[feature].bytes_list.value.append(value)
        answer = self._call("PredictionService", "Classify", request)
        return [[(cls.label, cls.score) for cls in row.classes] for row in answer.result.classifications]

    def metadata(self, model: str, *, version: int | None = None, label: str | None = None) -> Metadata:
        """The signatures of a model; asks the server each time."""
        request = self._request("PredictionService", "GetModelMetadata", ModelRef(model, version, label).check())
        request.metadata_field.append("signature_def")
        answer = self._call("PredictionService", "GetModelMetadata", request)
        signatures = protos.message("tensorflow.serving.SignatureDefMap")()
        signatures.ParseFromString(answer.metadata["signature_def"].value)
        return Metadata(
            answer.model_spec.name,
            answer.model_spec.version.value,
            {name: _signature(s) for name, s in sorted(signatures.signature_def.items()) if not name.startswith("__")},
        )

    def _predict(
        self, ref: ModelRef, signature: str, arrays: dict[str, np.ndarray], outputs: list[str] | None
    ) -> dict[str, np.ndarray]:
        request = self._request("PredictionService", "Predict", ref, signature)
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(to_proto(array))
        request.output_filter.extend(outputs or [])
        answer = self._call("PredictionService", "Predict", request)
        try:
            return {name: from_proto(proto) for name, proto in sorted(answer.outputs.items())}
        except ValueError as error:
            raise self.error(Code.INTERNAL, ref.model, f"an answer that cannot be read: {error}") from error

    def _status(self, ref: ModelRef, timeout: float, retries: int) -> list[VersionStatus]:
        request = self._request("ModelService", "GetModelStatus", ref)
        answer = self._call("ModelService", "GetModelStatus", request, timeout, retries)
        return [
            VersionStatus(
                version.version,
                version.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number[version.state].name,
                Code(version.status.error_code),
                version.status.error_message,
            )
            for version in answer.model_version_status
        ]

    def _request(self, service: str, method: str, ref: ModelRef, signature: str = "") -> Any:
        request = protos.rpc(service, method)[1]()
        request.model_spec.name, request.model_spec.signature_name = ref.model, signature
        if ref.version is not None:
            request.model_spec.version.value = ref.version
        if ref.label is not None:
            request.model_spec.version_label = ref.label
        return request

    def _call(
        self, service: str, method: str, request: Any, timeout: float | None = None, retries: int | None = None
    ) -> Any:
        if (service, method) not in self._methods:
            path, request_type, answer_type = protos.rpc(service, method)
            call = self._channel.unary_unary(path, request_type.SerializeToString, answer_type.FromString)
            self._methods[service, method] = call
        call = self._methods[service, method]

        def attempt(seconds: float) -> Any:
            try:
                return call(request, timeout=seconds)
            except grpc.RpcError as error:
                code = Code(error.code().value[0])
                failure = self.error(code, request.model_spec.name, error.details() or "no message")
                if code is Code.UNAVAILABLE:
                    raise RetryableError(failure) from error
                raise failure from error

        return with_retries(
            attempt, self.timeout if timeout is None else timeout, self.retries if retries is None else retries
        )


def _signature(proto: Any) -> Signature:
    inputs, outputs = (
        {name: _spec(info) for name, info in sorted(side.items())} for side in (proto.inputs, proto.outputs)
    )
    return Signature(inputs, outputs, proto.method_name)


def _spec(info: Any) -> TensorSpec:
    shape = info.tensor_shape
    sizes = None if shape.unknown_rank else tuple(None if dim.size < 0 else dim.size for dim in shape.dim)
    return TensorSpec(dtype_of(protos.data_type(info.dtype)), sizes)
