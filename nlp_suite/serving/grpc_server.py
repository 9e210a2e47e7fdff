"""The gRPC port: PredictionService and ModelService, health and reflection."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nlp_suite.serving.access_log import RequestRecord, note, texts_of_message
from nlp_suite.serving.caller import Caller
from nlp_suite.serving.core import Core
from nlp_suite.serving.flags import Options, channel_arguments
from nlp_suite.serving.listening import grpc_addresses
from nlp_suite.serving.memory import release_soon
from nlp_suite.serving.reflection import add_reflection
from nlp_suite.serving.signature_names import DEFAULT_SIGNATURE
from nlp_suite.serving.status import Code, ServingError, as_serving_error, invalid_argument, truncated
from nlp_suite.serving.text_protos import read_text_proto

_PREDICTION = {  # method → Core's method
    "Predict": "predict",
    "Classify": "classify",
    "Regress": "regress",
    "MultiInference": "multi_inference",
    "GetModelMetadata": "model_metadata",
}
_MODEL = {"GetModelStatus": "model_status", "HandleReloadConfigRequest": "reload_config"}
_UNLIMITED = 2**31 - 1
_NO_DEADLINE = 1e7  # seconds; a call without a deadline has 2**63 of them left


def make_grpc_server(core: Core, options: Options, max_connections: int = _UNLIMITED) -> Any:
    """A server that listens, but has not started.

    Args:
        core: answers the requests.
        options: port, socket, threads, limits, TLS.
        max_connections: more are closed at once.

    Raises:
        ServingError: a port that is taken, or TLS files that cannot be read.
    """
    import grpc
    from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2

    limit = options.grpc_max_message_bytes
    arguments = {
        "grpc.max_receive_message_length": limit if limit < 2**31 - 1 else -1,
        "grpc.max_send_message_length": -1,
        "grpc.so_reuseport": 0,
        "grpc.max_allowed_incoming_connections": max_connections,
        **channel_arguments(options.grpc_channel_arguments),
    }
    server = grpc.server(ThreadPoolExecutor(options.grpc_max_threads, "grpc"), options=list(arguments.items()))
    services = []
    for module, service, methods in [
        (prediction_service_pb2, "PredictionService", _PREDICTION),
        (model_service_pb2, "ModelService", _MODEL),
    ]:
        descriptor = module.DESCRIPTOR.services_by_name[service]
        services.append(descriptor)
        handlers = {name: _handler(core, descriptor.methods_by_name[name], inner) for name, inner in methods.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(descriptor.full_name, handlers),))
    if options.enable_grpc_healthcheck_service:
        services.append(_add_health(server, [service.full_name for service in services]))
    add_reflection(server, services)
    _listen(server, options)
    return server


def _handler(core: Core, method: Any, inner: str) -> Any:
    """A method's handler. It parses the request, as gRPC would report one that cannot be parsed as the server's fault."""
    import grpc
    from google.protobuf import message_factory
    from google.protobuf.message import DecodeError

    answer = getattr(core, inner)
    request_class = message_factory.GetMessageClass(method.input_type)
    response_class = message_factory.GetMessageClass(method.output_type)
    counted = inner in _PREDICTION.values()

    def handle(body: bytes, context: Any) -> Any:
        with core.log.request("GRPC", method.name) as record:
            return logged(body, context, record)

    def logged(body: bytes, context: Any, record: RequestRecord) -> Any:
        remaining = context.time_remaining()
        no_deadline = remaining is None or remaining > _NO_DEADLINE
        caller = Caller(None if no_deadline else max(1, remaining * 1000), lambda: not context.is_active())
        try:
            request = request_class.FromString(body)
            note(model=_model_of(request), signature=_signature_of(request), texts=lambda: texts_of_message(request))
            if not counted:
                return answer(request, caller)
            with core.counted(_model_of(request), method.name, "GRPC"):
                return answer(request, caller)
        except DecodeError as error:
            failure = invalid_argument(f"the request is no {request_class.DESCRIPTOR.full_name}: {error}")
            record.fail(failure)
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, truncated(failure.message))
        except Exception as error:
            record.fail(error)
            failure = as_serving_error(error)
            context.abort(getattr(grpc.StatusCode, failure.code.name), truncated(failure.message))
        finally:
            release_soon(len(body))

    return grpc.unary_unary_rpc_method_handler(handle, response_serializer=response_class.SerializeToString)


def _model_of(request: Any) -> str:
    """The model that a request names; a request of several tasks names it in the first."""
    if not hasattr(request, "tasks"):
        return str(request.model_spec.name) if hasattr(request, "model_spec") else ""
    return str(request.tasks[0].model_spec.name) if request.tasks else ""


def _signature_of(request: Any) -> str:
    """The signatures that a request names, for the log; empty where it asks none."""
    if hasattr(request, "tasks"):
        return ",".join(task.model_spec.signature_name or DEFAULT_SIGNATURE for task in request.tasks)
    asks = hasattr(request, "inputs") or hasattr(request, "input")
    return request.model_spec.signature_name or DEFAULT_SIGNATURE if asks else ""


def _add_health(server: Any, names: Sequence[str]) -> Any:
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    servicer = health.HealthServicer()
    for name in ["", *names]:
        servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    return health_pb2.DESCRIPTOR.services_by_name["Health"]


def _listen(server: Any, options: Options) -> None:
    addresses = grpc_addresses(options.host, options.port) if options.port else []
    if options.grpc_socket_path:
        addresses.append(f"unix:{Path(options.grpc_socket_path).absolute()}")
    credentials = _credentials(options.ssl_config_file) if options.ssl_config_file else None
    for address in addresses:
        try:
            if credentials is None or address.startswith("unix:"):
                bound = server.add_insecure_port(address)
            else:
                bound = server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise ServingError(Code.UNAVAILABLE, f"cannot listen for gRPC on {address}: {error}") from error
        if not bound and not address.startswith("unix:"):
            raise ServingError(Code.UNAVAILABLE, f"cannot listen for gRPC on {address}: the port is taken")


def _credentials(path: str) -> Any:
    import grpc

    config = read_text_proto(path, "SSLConfig")
    if not config.server_key or not config.server_cert:
        raise invalid_argument(f"{path!r}: server_key and server_cert are needed (PEM text)")
    pair = [(config.server_key.encode(), config.server_cert.encode())]
    authority = config.custom_ca.encode() or None
    return grpc.ssl_server_credentials(pair, authority, require_client_auth=config.client_verify)
