"""The clients over TLS: authorities, client certificates, and files that cannot be used."""

import re
import ssl
import subprocess

import grpc
import pytest
from typer.testing import CliRunner

from nlp_suite.cli import app
from nlp_suite.errors import UsageError
from nlp_suite.serving.client import GrpcClient, RestClient, ServingClientError, query
from tests.serving.fake_servers import FakeGrpc, FakeRest

CLIENTS = {"grpc": GrpcClient, "rest": RestClient}


def secure(kind, pem, client_verify):
    """A server with TLS, which asks for a certificate where `client_verify`."""
    if kind == "grpc":
        pair, authority = [(pem.key.read_bytes(), pem.certificate.read_bytes())], pem.certificate.read_bytes()
        return FakeGrpc(credentials=grpc.ssl_server_credentials(pair, authority, client_verify))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem.certificate, pem.key)
    if client_verify:
        context.load_verify_locations(pem.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
    return FakeRest(context=context)


@pytest.fixture
def server(request, pem):
    made = secure(*request.param[:1], pem, *request.param[1:])
    yield made
    made.close()


def each(*client_verify):
    return [pytest.param((kind, verify), id=f"{kind}-{verify}") for kind in CLIENTS for verify in client_verify]


@pytest.mark.parametrize("server", each(False, True), indirect=True)
def test_the_clients_the_function_and_the_command_line(server, pem, tmp_path):
    kind = type(server).__name__.removeprefix("Fake").lower()
    files = {"ca": pem.certificate, "cert": pem.certificate, "key": pem.key}
    with CLIENTS[kind](server.target, timeout=10, **files) as client:
        assert client.predict("sentiment", ["a good film"])["label"].tolist() == ["positive"]
    assert query(server.target, "translation", ["hi"], **files) == "HI  (score -0.5000)"
    both = tmp_path / "both.pem"  # certificate and key in one file
    both.write_text(pem.certificate.read_text() + pem.key.read_text())
    options = [f"--ca={pem.certificate}", f"--cert={both}"]
    told = CliRunner().invoke(app, ["query", server.target, "hi", "--model=translation", *options])
    assert told.exit_code == 0 and told.output == "HI  (score -0.5000)\n"


@pytest.mark.parametrize("server", each(False), indirect=True)
def test_a_server_that_is_not_trusted(server):
    kind = type(server).__name__.removeprefix("Fake").lower()
    with (
        CLIENTS[kind](server.target, timeout=5, retries=0) as client,
        pytest.raises(ServingClientError, match="UNAVAILABLE: .*(not trusted: self-signed|CERTIFICATE_VERIFY_FAILED)"),
    ):
        client.predict("sentiment", ["x"])
    assert not server.asked


@pytest.mark.parametrize("server", each(True), indirect=True)
def test_a_server_that_asks_for_a_certificate(server, pem):
    kind = type(server).__name__.removeprefix("Fake").lower()
    refusal = pytest.raises(ServingClientError, match="UNAVAILABLE")
    with CLIENTS[kind](server.target, timeout=5, retries=0, ca=pem.certificate) as client, refusal:
        client.predict("sentiment", ["x"])
    assert not server.asked


def test_a_port_without_tls():
    server = FakeRest()
    try:
        with (
            RestClient(f"https://127.0.0.1:{server.port}", retries=0) as client,
            pytest.raises(ServingClientError, match=f"no TLS in the answer: ask it as http://127.0.0.1:{server.port}"),
        ):
            client.predict("sentiment", ["x"])
    finally:
        server.close()


@pytest.mark.parametrize("client, scheme", [(GrpcClient, "grpcs"), (RestClient, "https")])
def test_files_that_cannot_be_used(client, scheme, pem, tmp_path):
    def refused(message, target=f"{scheme}://localhost:1", **files):
        with pytest.raises(UsageError, match=message):
            client(target, **files)

    other = tmp_path / "other.pem"
    other.write_text("no PEM")
    empty = tmp_path / "empty.pem"
    empty.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    locked = tmp_path / "locked.pem"
    command = ["openssl", "pkey", "-in", pem.key, "-aes256", "-passout", "pass:x", "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    for name in ("ca", "cert", "key"):
        sound = {} if name == "ca" else {"cert": pem.certificate, "key": pem.key}
        refused(f"{name} '.*none.pem': No such file", **sound | {name: tmp_path / "none.pem"})
        refused(f"{name} '.*other.pem': no PEM file", **sound | {name: str(other)})
    refused("ca '.*empty.pem': no certificates in PEM", ca=empty)
    refused(re.escape(f"key {str(pem.key)!r} belongs to a certificate: give cert"), key=pem.key)
    refused("are no PEM certificate and the unencrypted private key", cert=pem.certificate)
    refused("belongs to it: the key is encrypted", cert=pem.certificate, key=locked)
    for name in ("ca", "cert", "key"):
        refused(
            f"'localhost:1' has no TLS, so {name} would do nothing: write {scheme}://", "localhost:1", **{name: other}
        )
