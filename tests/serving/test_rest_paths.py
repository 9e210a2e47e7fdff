"""Paths of the REST interface and their quirks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_suite.serving.rest.paths import Route, parse_path
from nlp_suite.serving.status import Code, ServingError

ENCODED = "modelname%21%23%24%25%26%27%28%29%2A%2B%2C%2F%3A%3B%3D%3F%40%5B%5D"
DECODED = "modelname!#$%&'()*+,/:;=?@[]"


@pytest.mark.parametrize(
    "method, path, route",
    [
        ("POST", "/v1/models/default:predict", Route("predict", "default")),
        ("POST", "/v1/models/default:classify", Route("classify", "default")),
        ("POST", "/v1/models/m/versions/99:regress", Route("regress", "m", version=99)),
        ("POST", "/v1/models/m/versions/00000123:predict", Route("predict", "m", version=123)),
        ("POST", "/v1/models/m/versions/9223372036854775807:predict", Route("predict", "m", version=2**63 - 1)),
        ("POST", "/v1/models/m/labels/latest:predict", Route("predict", "m", label="latest")),
        ("POST", f"/v1/models/{ENCODED}:predict", Route("predict", DECODED)),
        ("POST", f"/v1/models/{ENCODED}/labels/{ENCODED}:predict", Route("predict", DECODED, label=DECODED)),
        ("POST", "/V1/MODELS/Default/VERSIONS/1:predict", Route("predict", "Default", version=1)),
        ("POST", "/v1/models/caf%C3%A9+%zz:predict", Route("predict", "café+%zz")),
        ("POST", "/v1/models/%FF:predict", Route("predict", "\ufffd")),
        ("GET", "/v1/models/m", Route("status", "m")),
        ("GET", "/v1/models/m/versions/7", Route("status", "m", version=7)),
        ("GET", "/v1/models/m/labels/stable", Route("status", "m", label="stable")),
        ("GET", "/v1/models/m/metadata", Route("metadata", "m")),
        ("GET", "/v1/models/m/versions/0/metadata", Route("metadata", "m", version=0)),
        ("GET", f"/v1/models/{ENCODED}/labels/{ENCODED}/metadata", Route("metadata", DECODED, label=DECODED)),
        ("GET", "/v1/models/m/METADATA", Route("status", "m")),
        ("GET", "/v1/models/metadata", Route("status", "metadata")),
    ],
)
def test_routes(method, path, route):
    assert parse_path(method, path) == route


@pytest.mark.parametrize(
    "request_line",
    [
        "POST /v1/foo",
        "POST /v1/models",
        "POST /v1/models/foo/version/50:regress",
        "POST /v1/models/foo/versions/string:predict",
        "POST /v1/models/foo/metadata",
        "POST /v1/models/foo/versions/50/labels/some_label:regress",
        "POST /v1/models/foo:PREDICT",
        "POST /v1/models/foo:Predict",
        "POST /v1/models/foo:predict/",
        "POST /v1/models/foo",
        "GET /v1/models/",
        "GET /v1/models/foo:predict",
        "GET /v1/models/debug/model_name",
        "GET /v1/models/foo/versions/١",
        "PUT /v1/models/foo:predict",
        "HEAD /v1/models/foo",
    ],
)
def test_malformed(request_line):
    with pytest.raises(ServingError) as caught:
        parse_path(*request_line.split(" "))
    assert caught.value.code == Code.INVALID_ARGUMENT
    assert str(caught.value) == f"Malformed request: {request_line}"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/versions/1", "/v1/models/labels/x/metadata"])
def test_without_a_name(path):
    with pytest.raises(ServingError, match=r"^Missing model name in request\.$"):
        parse_path("GET", path)


@pytest.mark.parametrize("version", ["9223372036854775808", "18446744073709551615", "9" * 5000])
@pytest.mark.parametrize(
    "method, path", [("POST", "/v1/models/foo/versions/{}:regress"), ("GET", "/v1/models/foo/versions/{}")]
)
def test_version_beyond_64_bits(method, path, version):
    with pytest.raises(ServingError) as caught:
        parse_path(method, path.format(version))
    assert str(caught.value) == f"Failed to convert version: {version} to numeric."


@given(st.sampled_from(["GET", "POST"]), st.text() | st.from_regex(r"/v1/models/.*:predict"))
def test_any_path_is_a_route_or_a_serving_error(method, path):
    try:
        route = parse_path(method, path)
    except ServingError as error:
        assert error.code == Code.INVALID_ARGUMENT
    else:
        assert route.model and route.verb in ("predict", "classify", "regress", "status", "metadata")
