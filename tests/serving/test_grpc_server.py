"""The gRPC port's edges: TLS, sockets, health, reflection, limits, deadlines, and bytes that are no request."""

import socket
import time

import grpc
import numpy as np
import pytest

from nlp_suite.serving.listening import listeners
from nlp_suite.serving.status import ServingError
from tests.serving.endpoint import Asker, Endpoint, free_port, model_list

SERVICE = "/tensorflow.serving.PredictionService/"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("grpc")


@pytest.fixture(scope="module")
def half(toys):
    """The folder of a model."""
    return str(toys("half_plus").parent)


@pytest.fixture(scope="module")
def endpoint(toys, half, folder):
    models = {"half": half, "slow": toys("slow", loops=10**7).parent, "echo": toys("echo_float").parent}
    (folder / "models.config").write_text(model_list(models))
    with Endpoint(
        model_config_file=str(folder / "models.config"),
        rest_api_port=0,
        enable_grpc_healthcheck_service=True,
        grpc_socket_path=str(folder / "socket"),
        grpc_max_message_bytes=2**20,
        max_request_rows=2**18,
        grpc_channel_arguments="grpc.max_connection_age_ms=3600000,grpc.default_authority=me",
    ) as made:
        yield made


def code(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, caught.value.details()


def test_a_unix_socket(endpoint, folder):
    assert Asker(0, 0, f"unix:{folder / 'socket'}").half("half") == 3.0


def test_a_call_without_a_deadline(endpoint):
    assert endpoint.half("half", timeout=None) == 3.0


def test_a_deadline_ends_the_request_in_the_server_too(endpoint):
    start = time.monotonic()
    assert code(lambda: endpoint.half("slow", timeout=0.5))[0] == "DEADLINE_EXCEEDED"
    entry = endpoint.server.manager._available("slow")[1]
    while entry.users:
        assert time.monotonic() - start < 10
        time.sleep(0.01)


def test_messages_have_a_largest_size(endpoint):
    ok = endpoint.predict("echo", {"x": np.zeros(2**17, "float32")})[0]["y"]  # half of it
    assert ok.shape == (2**17,)
    found = code(lambda: endpoint.predict("echo", {"x": np.zeros(2**19, "float32")}))
    assert found[0] == "RESOURCE_EXHAUSTED"


def test_a_few_bytes_do_not_ask_for_much_memory(endpoint):
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "echo"
    request.inputs["x"].dtype = 1
    request.inputs["x"].float_val.append(1.0)
    request.inputs["x"].tensor_shape.dim.add(size=2**30)
    found = code(lambda: endpoint.prediction.Predict(request))
    assert found[0] == "RESOURCE_EXHAUSTED" and "x has 1,073,741,824 rows; at most 262,144 are allowed" in found[1]


@pytest.mark.parametrize("method", ["Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata"])
def test_bytes_that_are_no_request_are_the_clients_fault(endpoint, method):
    ask = endpoint.channel.unary_unary(SERVICE + method)  # bytes as they are
    found = code(lambda: ask(b"\x0a\xff\xff\xff\xff\x0f", timeout=10))
    assert found[0] == "INVALID_ARGUMENT" and found[1].startswith("the request is no tensorflow.serving.")


def test_unknown_methods(endpoint):
    assert code(lambda: endpoint.channel.unary_unary(SERVICE + "Guess")(b"", timeout=10))[0] == "UNIMPLEMENTED"


def test_health(endpoint):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    stub = health_pb2_grpc.HealthStub(endpoint.channel)
    for service in ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
        assert stub.Check(health_pb2.HealthCheckRequest(service=service)).status == 1  # SERVING


def test_no_health_unless_the_flag_says_so(half):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with Endpoint(model_name="m", model_base_path=half, rest_api_port=0) as made:
        stub = health_pb2_grpc.HealthStub(made.channel)
        assert code(lambda: stub.Check(health_pb2.HealthCheckRequest()))[0] == "UNIMPLEMENTED"


def reflected(endpoint, version, **request):
    """What reflection of a version answers to one request."""
    from grpc_reflection.v1alpha import reflection_pb2

    ask = endpoint.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    (answer,) = ask(iter([reflection_pb2.ServerReflectionRequest(**request)]), timeout=30)
    return answer


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_finds_every_service_and_symbol(endpoint, version):
    from google.protobuf import descriptor_pb2, descriptor_pool

    listed = [each.name for each in reflected(endpoint, version, list_services="").list_services_response.service]
    assert listed == sorted(
        [
            *(f"grpc.reflection.{each}.ServerReflection" for each in ("v1", "v1alpha")),
            *("grpc.health.v1.Health", "tensorflow.serving.ModelService", "tensorflow.serving.PredictionService"),
        ]
    )
    symbols = ["tensorflow.serving.PredictionService.Predict", "tensorflow.serving.ModelService.GetModelStatus"]
    symbols += ["grpc.health.v1.Health.Check", "tensorflow.TensorProto.dtype", "tensorflow.DT_FLOAT"]
    symbols += [f"grpc.reflection.{each}.ServerReflection.ServerReflectionInfo" for each in ("v1", "v1alpha")]
    for symbol in [*listed, *symbols]:
        answer = reflected(endpoint, version, file_containing_symbol=symbol)
        files = list(
            map(descriptor_pb2.FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
        )
        pool, waiting = descriptor_pool.DescriptorPool(), {file.name: file for file in files}
        while waiting:  # as a client builds a pool: every file and what it depends on is there
            file = next(each for each in waiting.values() if not waiting.keys() & set(each.dependency))
            pool.Add(waiting.pop(file.name))
        if symbol in listed:
            assert pool.FindServiceByName(symbol).methods
        by_name = reflected(endpoint, version, file_by_filename=files[0].name)
        assert by_name.file_descriptor_response == answer.file_descriptor_response
    for request in [
        {"file_containing_symbol": "tensorflow.serving.PredictionService.Guess"},
        {"file_containing_symbol": "Predict"},
        {"file_containing_symbol": ""},
        {"file_by_filename": "absent.proto"},
        {"all_extension_numbers_of_type": "absent.Type"},
    ]:
        assert reflected(endpoint, version, **request).error_response.error_code == 5, request  # NOT_FOUND
    numbers = reflected(endpoint, version, all_extension_numbers_of_type="tensorflow.TensorProto")
    assert numbers.all_extension_numbers_response.base_type_name == "tensorflow.TensorProto"


def test_reflection(endpoint):
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    found = ProtoReflectionDescriptorDatabase(endpoint.channel)
    assert {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"} <= set(found.get_services())
    file = found.FindFileContainingSymbol("tensorflow.serving.PredictRequest")
    assert file.package == "tensorflow.serving"


# ---------------------------------------------------------------------------------------------------- TLS


@pytest.mark.parametrize("client_verify", [False, True])
def test_tls(half, folder, pem, client_verify):
    from google.protobuf import text_format

    from nlp_suite.serving.text_protos import message

    config, keys = message("SSLConfig"), (pem.key.read_text(), pem.certificate.read_text())
    config.server_key, config.server_cert, config.client_verify = *keys, client_verify
    config.custom_ca = keys[1] if client_verify else ""
    (folder / "ssl.config").write_text(text_format.MessageToString(config))
    flags = {"model_base_path": half, "ssl_config_file": str(folder / "ssl.config"), "rest_api_port": 0}
    key, certificate = (each.encode() for each in keys)
    with Endpoint(model_name="m", **flags) as made:
        assert code(lambda: made.half("m", timeout=5))[0] == "UNAVAILABLE"  # without TLS
        for pair, answers in [((None, None), not client_verify), ((key, certificate), True)]:
            credentials = grpc.ssl_channel_credentials(certificate, *pair)
            secure = Asker(made.port, 0, f"localhost:{made.port}", credentials)
            if answers:
                assert secure.half("m") == 3.0
            else:
                assert code(lambda secure=secure: secure.half("m", timeout=5))[0] == "UNAVAILABLE"
            secure.channel.close()


@pytest.mark.parametrize(
    "text, message",
    [
        ('server_key: "k"', "server_key and server_cert are needed"),
        ("server_keys: 1", "Error parsing text-format tensorflow.serving.SSLConfig"),
        (None, "cannot read"),
    ],
)
def test_tls_files_that_cannot_be(half, folder, text, message):
    file = folder / "wrong.config"
    file.unlink(missing_ok=True)
    if text is not None:
        file.write_text(text)
    flags = {"model_base_path": half, "ssl_config_file": str(file), "rest_api_port": 0}
    with pytest.raises(ServingError, match=message), Endpoint(model_name="m", **flags):
        pass


# ---------------------------------------------------------------------------------------------------- ports


def test_a_port_that_is_taken(endpoint, half):
    for flags in [{"port": endpoint.port}, {"port": free_port(), "rest_api_port": endpoint.port}]:
        started = Endpoint(model_name="m", model_base_path=half, **{"rest_api_port": 0, **flags})
        with pytest.raises(ServingError, match=f"127.0.0.1:{endpoint.port}.*"), started:
            pass
        assert started.server.manager.names() == []
    assert endpoint.half("half") == 3.0


def test_an_ipv6_host(half):
    try:
        with socket.socket(socket.AF_INET6) as made:
            made.bind(("::1", 0))
            rest_port = made.getsockname()[1]
    except OSError:
        pytest.skip("there is no IPv6 on this machine")
    flags = {"model_base_path": half, "host": "::1", "rest_api_port": rest_port}
    with Endpoint(model_name="m", **flags) as made:
        asker = Asker(0, 0, f"[::1]:{made.port}")
        assert asker.half("m") == 3.0
        asker.channel.close()
        with pytest.raises(ServingError, match=rf"cannot listen for REST on \[::1\]:{rest_port}"):
            listeners("::1", rest_port, "REST")


@pytest.mark.parametrize("text", ["key", "=1", "a=1,b"])
def test_channel_arguments_that_cannot_be(half, text):
    flags = {"model_base_path": half, "grpc_channel_arguments": text, "rest_api_port": 0}
    with pytest.raises(ServingError, match="is not key=value"), Endpoint(model_name="m", **flags):
        pass
