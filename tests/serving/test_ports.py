"""Ports are taken before models load, answer only when these are loaded, and a conflict is said at once."""

import socket
import threading

import pytest

from nlp_suite.serving.flags import Options
from nlp_suite.serving.ports import ReservedPorts
from nlp_suite.serving.status import ServingError
from tests.serving.endpoint import Endpoint, free_port
from tests.serving.fake_servables import until


def options(port, rest_port):
    return Options(host="127.0.0.1", port=port, rest_api_port=rest_port)


def refuses(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_two_servers_that_still_load():
    ports = free_port(), free_port()
    first = ReservedPorts(options(*ports))
    assert all(map(refuses, ports))
    for wanted, said in [((ports[0], free_port()), "gRPC"), ((free_port(), ports[1]), "REST")]:
        port = ports[said == "REST"]
        with pytest.raises(ServingError, match=f"cannot listen for {said} on 127.0.0.1:{port}: the port is taken"):
            ReservedPorts(options(*wanted))
        free = ReservedPorts(options(*(0 if each == port else each for each in wanted)))  # the other was given back
        free.release()
    first.release()
    ReservedPorts(options(*ports)).release()


def test_a_port_that_another_process_listens_on():
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ServingError, match="the port is taken"):
        ReservedPorts(options(other.getsockname()[1], 0))


def test_connections_of_a_server_that_has_ended_hold_no_port():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        connection, _ = other.accept()
        connection.close()  # who closes first keeps the address for a minute
        client.close()
    ReservedPorts(options(port, 0)).release()


def test_one_port_for_both():
    with pytest.raises(ServingError, match="--port and --rest_api_port are both 8501: give two ports"):
        ReservedPorts(options(8501, 8501))


def test_a_host_that_is_not_of_this_machine():
    with pytest.raises(ServingError, match=r"cannot listen for REST on 192.0.2.1:8501: (Cannot|Can't) assign"):
        ReservedPorts(Options(host="192.0.2.1", port=0, rest_api_port=8501))


def test_nobody_answers_before_the_model_is_loaded(tmp_path):
    (tmp_path / "m").mkdir()
    endpoint = Endpoint(model_name="m", model_base_path=str(tmp_path / "m"))
    thread = threading.Thread(target=endpoint.server.start)
    thread.start()
    until(lambda: endpoint.server.manager.names() == ["m"])  # and it waits for a first version
    assert refuses(endpoint.port) and refuses(endpoint.rest_port)
    with pytest.raises(ServingError, match="the port is taken"):
        ReservedPorts(options(endpoint.port, 0))
    endpoint.server.stop()
    thread.join(10)
    ReservedPorts(options(endpoint.port, endpoint.rest_port)).release()
