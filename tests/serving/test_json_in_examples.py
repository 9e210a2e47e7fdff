"""Bodies of classify and regress requests as serialized examples."""

import numpy as np
import pytest
from tensorflow.core.example.example_pb2 import Example

from nlp_suite.serving.rest.json_in import parse_examples
from nlp_suite.serving.status import Code, ServingError


def features(serialized):
    example = Example.FromString(serialized)
    return {
        name: (kind := feature.WhichOneof("kind")) and [kind, *getattr(feature, kind).value]
        for name, feature in example.features.feature.items()
    }


def test_examples():
    body = rb"""{"signature_name": "s", "examples": [{"f": 1.5, "e": 1e2, "i": [1, -2], "b": [true, 7], "s": "\u00fc",
        "y": [{"b64": "/w=="}, "x"], "n": [NaN, 1e39], "big": 123456789012345678901, "none": []}, {}]}"""
    request = parse_examples(body)
    assert (request.signature_name, request.context) == ("s", b"")
    found = features(request.examples[0])
    assert np.isnan(found.pop("n")[1])
    assert found == {
        "f": ["float_list", 1.5],
        "e": ["float_list", 100.0],
        "i": ["int64_list", 1, -2],
        "b": ["int64_list", 1, 7],
        "s": ["bytes_list", "ü".encode()],
        "y": ["bytes_list", b"\xff", b"x"],
        "big": ["float_list", float(np.float32(123456789012345678901))],
        "none": None,
    }
    assert request.examples[1] == b"" and parse_examples(b'{"examples": [{}]}').signature_name == "serving_default"


def test_context_is_merged_and_the_examples_own_feature_wins():
    request = parse_examples(b'{"context": {"x": 80.0, "c": "all"}, "examples": [{}, {"x": 2.0}]}')
    assert features(request.context) == {"x": ["float_list", 80.0], "c": ["bytes_list", b"all"]}
    assert [features(each) for each in request.merged] == [
        {"x": ["float_list", 80.0], "c": ["bytes_list", b"all"]},
        {"x": ["float_list", 2.0], "c": ["bytes_list", b"all"]},
    ]


@pytest.mark.parametrize(
    "body, message",
    [
        (b"{}", "JSON Value: {} When method is classify, key 'examples' is expected and was not found"),
        (b'{"examples": 1}', "Expecting 'examples' value to be an list/array"),
        (b'{"examples": []}', "'examples' value is an empty array"),
        (b'{"signature_name": [], "examples": [{}]}', "'signature_name' key must be a string value."),
        (b'{"examples": [1]}', "Example must be JSON object but got JSON Number"),
        (b'{"context": [], "examples": [{}]}', "Example must be JSON object but got JSON Array"),
        (b'{"examples": [{"names": [10, null]}]}', "Feature: names has element with unexpected JSON type: Null"),
        (b'{"examples": [{"x": [[1]]}]}', "Feature: x has element with unexpected JSON type: Array"),
        (b'{"examples": [{"x": {"b64": 1}}]}', "Feature: x has element with unexpected JSON type: Object"),
        (b'{"examples": [{"x": {"b64": "!"}}]}', "Unable to base64 decode"),
        (b'{"examples": [{"x": [1, 1.5]}]}', "Unexpected element type in feature: x expecting type: int64"),
        (b'{"examples": [{"x": [1.5, true]}]}', "Unexpected element type in feature: x expecting type: float"),
        (b'{"examples": [{"x": ["a", 1]}]}', "Unexpected element type in feature: x expecting type: bytes"),
        (b'{"examples": [{"x": 9223372036854775808}]}',
         "Feature: x has uint64_t element. Only int64_t is supported."),
        (b'{"examples": [{"\xff": 1}]}', "has a name that is not valid UTF-8"),
    ],
)  # fmt: skip
def test_examples_refused(body, message):
    with pytest.raises(ServingError) as caught:
        parse_examples(body)
    assert caught.value.code == Code.INVALID_ARGUMENT and caught.value.message.endswith(message)
