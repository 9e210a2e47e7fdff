"""Request bodies: what is read, what is refused and in which words."""

import base64
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from nlp_suite.serving.rest.json_in import parse_examples, parse_predict
from nlp_suite.serving.rest.json_tensor import NUMPY, regular_array, walked_array
from nlp_suite.serving.rest.json_text import pretty
from nlp_suite.serving.status import Code, ServingError


def signatures(name="serving_default", **dtypes):
    signature = SignatureDef()
    for alias, dtype in dtypes.items():
        signature.inputs[alias].dtype = types_pb2.DataType.Value(f"DT_{dtype.upper()}")
    return {name: signature}


FLOAT, TEXT, IDS = signatures(x="float"), signatures(text="string"), signatures(ids="int32")
TWO = signatures(ids="int32", length="int32")


def read(body, known=FLOAT):
    """Arrays of a request; `body` is bytes, or a value to be dumped."""
    return parse_predict(body if isinstance(body, bytes) else json.dumps(body).encode(), known)


def only(body, known=FLOAT):
    (array,) = read(body, known).inputs.values()
    return array


def refusal(body, known=FLOAT):
    with pytest.raises(ServingError) as caught:
        read(body, known)
    assert caught.value.code == Code.INVALID_ARGUMENT
    return caught.value.message


# ---- what is read


@pytest.mark.parametrize("key, row_format", [("instances", True), ("inputs", False)])
def test_rows_and_columns(key, row_format):
    for values in ([2.0, 3.0], {"x": [2.0, 3.0]} if not row_format else [{"x": 2.0}, {"x": 3.0}]):
        request = read({key: values, "unknown": [[1], 2]})
        assert (request.signature_name, request.row_format) == ("serving_default", row_format)
        assert request.signature is FLOAT["serving_default"]
        np.testing.assert_array_equal(request.inputs["x"], np.array([2, 3], np.float32), strict=True)


def test_named_signature_and_empty_name():
    both = {**FLOAT, **signatures("other", y="double")}
    assert read({"signature_name": "other", "inputs": [1]}, both).inputs["y"].dtype == np.float64
    assert read({"signature_name": "", "inputs": [1]}, both).signature_name == "serving_default"


def test_several_inputs():
    rows = read({"instances": [{"ids": [1, 2], "length": 2}, {"length": 1, "ids": [3, 0]}]}, TWO).inputs
    columns = read({"inputs": {"ids": [[1, 2], [3, 0]], "length": [2, 1], "extra": None}}, TWO).inputs
    for inputs in (rows, columns):
        np.testing.assert_array_equal(inputs["ids"], np.array([[1, 2], [3, 0]], np.int32), strict=True)
        np.testing.assert_array_equal(inputs["length"], np.array([2, 1], np.int32), strict=True)


@pytest.mark.parametrize("value", [1.0, [], [[]], [[], []], [1.0], [[[1.0, 2.0]], [[3.0, 4.0]]]])
def test_shape_is_that_of_the_lists(value):
    assert only({"inputs": value}).shape == np.shape(value)
    if isinstance(value, list) and value:
        assert only({"instances": value}).shape == np.shape(value)


@pytest.mark.parametrize(
    "dtype, value",
    [
        ("float", [1, 2.0, 3]),
        ("float", [-1e-45, 3.4e38, 0.1]),
        ("double", [2**64, 0.1, -(10**30)]),
        ("int64", [-(2**63), 2**63 - 1]),
        ("uint64", [0, 2**64 - 1]),
        ("int32", [-(2**31), 2**31 - 1]),
        ("uint32", [0, 2**32 - 1]),
        ("int16", [-(2**15), 2**15 - 1]),
        ("int8", [-128, 127]),
        ("uint8", [0, 255]),
        ("bool", [True, False]),
    ],
)
def test_types(dtype, value):
    for key in ("instances", "inputs"):
        array = only({key: value}, signatures(x=dtype))
        np.testing.assert_array_equal(array, np.array(value, NUMPY[dtype]), strict=True)


def test_float_overflow_and_non_finite_tokens():
    body = b'{"instances": [1.7976931348623157e308, -1e400, NaN, Infinity, -Infinity, Inf, -Inf, -NaN, %s]}'
    inf, nan = np.inf, np.nan
    for number in (b"9" * 400, b"9" * 5000):
        array = only(body % number)
        np.testing.assert_array_equal(array, np.array([inf, -inf, nan, inf, -inf, inf, -inf, nan, inf], np.float32))
        assert only(b'{"inputs": [%s, -%s, 1]}' % (number, number)).tolist() == [inf, -inf, 1]
    text = b'{"a": "Inf \\" Inf", "instances": [["Inf", "x"]], "b": Inf}'
    assert only(text, TEXT).tolist() == [[b"Inf", b"x"]]


@pytest.mark.parametrize(
    "raw, expected",
    [
        (rb'"plain"', b"plain"),
        ('"Straße 🌍"'.encode(), "Straße 🌍".encode()),
        (rb'"\u00fc\ud83c\udf0d\n\u0000\\ud800"', "ü🌍\n\0\\ud800".encode()),
        (b'"\xff\xed\xa0\x80"', b"\xff\xed\xa0\x80"),
        (b'{"b64": "aGVsbG8="}', b"hello"),
        (b'{"b64": "aGVs\\nbG8"}', b"hello"),
        (b'{"b64": "/+8="}', b"\xff\xef"),
        (b'{"b64": ""}', b""),
        (b'""', b""),
    ],
)
def test_strings(raw, expected):
    for body in (
        b'{"instances": [%s, "x"]}',
        b'{"inputs": [%s, "x"]}',
        b'{"instances": [{"text": %s}, {"text": "x"}]}',
    ):
        array = only(body % raw, TEXT)
        assert array.dtype == object and array.tolist() == [expected, b"x"]
    scalar = only(b'{"inputs": %s}' % raw, TEXT)
    assert scalar.shape == () and scalar.item() == expected


def test_nested_base64():
    nested = [[{"b64": "aGVsbG8="}], [{"b64": "d29ybGQ="}]]
    assert only({"instances": nested}, TEXT).tolist() == [[b"hello"], [b"world"]]


def test_leniency_of_the_parser():
    body = b'\xef\xbb\xbf \r\n{"instances": [1], "instances": [2, 3], "inputs_": null} {"inputs": ] \xff'
    assert only(body).tolist() == [1.0]
    assert only(b'{"instances": [{"x": 1, "x": 2}]}').tolist() == [1.0]
    assert only(b'{"instances": ["a"]} "\\ud800"', TEXT).tolist() == [b"a"]


# ---- what is refused

DOCUMENT = 'JSON Value: {\n    "instances": %s\n} '


@pytest.mark.parametrize(
    "known, body, message",
    [
        (FLOAT, {"signature_name": 100}, 'JSON Value: {\n    "signature_name": 100\n} not formatted correctly. '
         "'signature_name' key must be a string value."),
        (FLOAT, {"signature_name": "x"}, 'Serving signature name: "x" not found in signature def'),
        (signatures("other", x="float"), {}, 'Serving signature name: "serving_default" not found in signature def'),
        (signatures(), {"inputs": [1]}, "Failed to get input map for signature: DEFAULT"),
        (FLOAT, {"signature_name": "serving_default"}, "Missing 'inputs' or 'instances' key"),
        (FLOAT, {"instances": [], "inputs": 1}, 'JSON Value: {\n    "instances": [],\n    "inputs": 1\n} '
         "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "),
        (FLOAT, {"instances": 1.0}, DOCUMENT % "1.0" + "Expecting 'instances' to be an list/array"),
        (FLOAT, {"instances": []}, DOCUMENT % "[]" + "No values in 'instances' array"),
        (FLOAT, [1], "JSON Value: [\n    1\n] Is not object"),
        (FLOAT, {"instances": [[1, 2], [3, 4], [5, 6, 7]]}, "Failed to process element: 2 of 'instances' list. "
         "Error: INVALID_ARGUMENT: Expecting tensor size: 2 but got: 3"),
        (FLOAT, {"instances": [[1, 2], [3, 4], [[5, 6]]]}, "Failed to process element: 2 of 'instances' list. "
         "Error: INVALID_ARGUMENT: Expecting shape [2] but got: [1,2]"),
        (FLOAT, {"instances": [1, [1]]}, "Failed to process element: 1 of 'instances' list. "
         "Error: INVALID_ARGUMENT: Expecting shape [] but got: [1]"),
        (FLOAT, {"instances": [[1, [2]]]}, "Failed to process element: 0 of 'instances' list. "
         "Error: INVALID_ARGUMENT: Encountered list at unexpected level: 1 expected < 1"),
        (FLOAT, {"inputs": [[1, 2], [3]]},
         "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        (FLOAT, {"inputs": [[1], 2]},
         "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        (IDS, {"inputs": [1.0]}, "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        (IDS, {"inputs": [1, True]}, "JSON Value: true Type: True is not of expected type: int32"),
        (IDS, {"inputs": {"ids": {"a": 1}}},
         'JSON Value: {\n    "a": 1\n} Type: Object is not of expected type: int32'),
        (IDS, {"inputs": [2**31]}, "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        (IDS, {"inputs": [10**30]}, "JSON Value: 1e+30 Type: Number is not of expected type: int32"),
        (signatures(x="uint8"), {"inputs": [256]}, "JSON Value: 256 Type: Number is not of expected type: uint8"),
        (signatures(x="uint64"), {"inputs": [-1]}, "JSON Value: -1 Type: Number is not of expected type: uint64"),
        (signatures(x="int64"), {"inputs": [2**63]},
         "JSON Value: 9223372036854775808 Type: Number is not of expected type: int64"),
        (signatures(x="bool"), {"inputs": [True, 1]}, "JSON Value: 1 Type: Number is not of expected type: bool"),
        (FLOAT, {"inputs": ["1"]}, 'JSON Value: "1" Type: String is not of expected type: float'),
        (FLOAT, {"inputs": [None]}, "JSON Value: null Type: Null is not of expected type: float"),
        (FLOAT, {"inputs": [False]}, "JSON Value: false Type: False is not of expected type: float"),
        (TEXT, {"inputs": [1]}, "JSON Value: 1 Type: Number is not of expected type: string"),
        (TEXT, {"inputs": [{"b64": "!!"}]}, "Unable to base64 decode"),
        (TEXT, {"inputs": [{"b64": "aGVsbG8=="}]}, "Unable to base64 decode"),
        (TEXT, b'{"inputs": [{"b64": "aGVsbG8\xff"}]}', "Unable to base64 decode"),
        (TEXT, {"inputs": [{"b64": "aGVsb"}]}, "Unable to base64 decode"),
        (TEXT, {"inputs": [{"b64": 1}]}, 'JSON Value: {\n    "b64": 1\n} not formatted correctly for base64 data'),
        (TEXT, {"instances": [{"b64": "!!"}]}, "Failed to process element: 0 of 'instances' list. "
         "Error: INVALID_ARGUMENT: Unable to base64 decode"),
        (TEXT, {"instances": [["baz", "bar"], {"text": ["baz", "bat"]}]},
         "Expecting value/list but got object at item 1 of input list"),
        (TEXT, {"instances": [{"text": "a"}, "b"]}, "Expecting object but got list at item 1 of input list"),
        (TEXT, {"instances": [{"txet": "a"}]}, "Failed to process element: 0 key: txet of 'instances' list. "
         "Error: INVALID_ARGUMENT: JSON object: does not have named input: txet"),
        (TEXT, {"instances": [{"text": "a"}, {"text": 1}]}, "Failed to process element: 1 key: text of 'instances' "
         "list. Error: INVALID_ARGUMENT: JSON Value: 1 Type: Number is not of expected type: string"),
        (TWO, {"instances": [{"ids": [1]}]}, "Failed to process element: 0 of 'instances' list. JSON object: "
         '{\n    "ids": [\n        1\n    ]\n} keys must be equal to: ids,length'),
        (TWO, {"instances": [{"ids": [1, 2], "length": 2, "zzz": 1}]}, "Failed to process element: 0 key: zzz of "
         "'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have named input: zzz"),
        (TWO, {"instances": [[1, 2]]}, "instances is a plain list, but expecting list of objects as multiple input "
         "tensors required as per tensorinfo_map"),
        (TWO, {"inputs": [1]}, "inputs is a plain value/list, but expecting an object as multiple input tensors "
         "required as per tensorinfo_map"),
        (TWO, {"inputs": {"ids": [[1, 2]]}}, "Missing named input: length in 'inputs' object."),
        (FLOAT, b"[" * 3 + b"]" * 3, "JSON Value: [\n    [\n        []\n    ]\n] Is not object"),
    ],
)  # fmt: skip
def test_refusals(known, body, message):
    assert refusal(body, known) == message


@pytest.mark.parametrize(
    "body, what",
    [
        (b"instances = [1, 2]", "Invalid value. at offset: 0"),
        (b'{"a": ', "Invalid value. at offset: 6"),
        (b'{"a": [1,]}', "Invalid value. at offset: "),
        (b'{"a": [1 2]}', "Missing a comma or ] after an array element. at offset: 9"),
        (b'{"a": [{"b": []}, {}], "]" 2', "Missing a colon after a name of object member. at offset: 27"),
        (b'{"a": [], "]": "[" 2', "Missing a comma or } after an object member. at offset: 19"),
        ('{"ü": [] 2'.encode(), "Missing a comma or } after an object member. at offset: 10"),
        (b"{1: 2}", "Missing a name for object member. at offset: 1"),
        (b'{"a": "b', "Missing a closing quotation mark in string. at offset: 6"),
        (rb'{"a": "\x"}', "Invalid escape character in string. at offset: "),
        (b'{"a": "\x01"}', "Invalid escape character in string. at offset: "),
        (rb'{"a": "\u12"}', "Incorrect hex digit after \\u escape in string. at offset: "),
        (rb'{"a": "\\\ud800"}', "The surrogate pair in string is invalid. at offset: 9"),
        (rb'{"a": "\uDC80"}', "The surrogate pair in string is invalid. at offset: 7"),
        (b"", "The document is empty"),
        (b" \n", "The document is empty. at offset: 2"),
        (b"{" + b'"a":{' * 100_000, "nested too deeply"),
    ],
)
def test_parse_errors(body, what):
    assert re.match(re.escape(f"JSON Parse error: {what}"), refusal(body))


def test_deep_nesting_is_refused_quickly_and_never_fatal():
    deep = b"[" * 500_000 + b"]" * 500_000
    for body in (b'{"signature_name":%s}', b'{"instances":%s}', b'{"instances":[1],"ignored":%s}', b"%s"):
        assert "nested too deeply" in refusal(body % deep)
    for depth in (*range(20, 1100, 60), 64, 65):  # too many axes for an array, or for the parser, wherever the limit is
        for key in (b"instances", b"inputs"):
            body = b'{"%s": %s1%s}' % (key, b"[" * depth, b"]" * depth)
            if depth <= 64:
                assert only(body).ndim == depth
            else:
                message = refusal(body)
                assert message.endswith(("tensor parsing error: x", "JSON Parse error: nested too deeply"))


def test_hostile_text_is_parsed_in_linear_time():
    for body in (b'{"a": Inf' + rb"\"" * 300_000, b'{"a": 1 ' + rb"\"" * 300_000, b'{"a": "' + b"\\\\" * 500_000):
        assert refusal(body).startswith("JSON Parse error: ")


@pytest.mark.parametrize("dtype", ["half", "bfloat16", "complex64", "uint16", "variant"])
def test_types_without_json_form(dtype):
    for value in ([1.5], []):
        with pytest.raises(ServingError, match=r"^Conversion of JSON Value: .* to type: " + dtype) as caught:
            read({"inputs": value}, signatures(x=dtype))
        assert caught.value.code == Code.UNIMPLEMENTED
    assert refusal({"instances": [1.5]}, signatures(x=dtype)) == (
        "Failed to process element: 0 of 'instances' list. "
        f"Error: UNIMPLEMENTED: Conversion of JSON Value: 1.5 to type: {dtype}"
    )


def test_an_error_repeats_only_the_beginning_of_a_long_value():
    deep = {"instances": 1, "a": [[[[[[[[[0] * 10_000]]]]]]]]}
    message = refusal(deep)
    assert message.endswith("... Expecting 'instances' to be an list/array") and len(message) < 4300
    assert message.startswith('JSON Value: {\n    "instances": 1,\n    "a": [\n        [\n')
    assert len(refusal({"inputs": "x" * 100_000})) < 4300


def test_signature_names_may_be_any_bytes():
    assert refusal(b'{"signature_name": "\xff"}') == 'Serving signature name: "\ufffd" not found in signature def'
    assert "named input: \ufffd" in refusal(b'{"instances": [{"\xff": 1}]}')


# ---- properties

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(-3, 300)
    | st.floats()
    | st.text(max_size=5)
    | st.builds(lambda raw: {"b64": base64.b64encode(raw).decode()}, st.binary(max_size=5))
)
KEYS = st.sampled_from(["x", "y", "b64", "signature_name", "instances", "inputs", "examples", "context"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)
DTYPES = st.sampled_from([*NUMPY, "half"])


def answer_or_refuse(body, dtypes):
    for parse in (lambda: parse_predict(body, signatures(**dtypes)), lambda: parse_examples(body)):
        try:
            result = parse()
        except ServingError as error:
            assert error.code in (Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED) and error.message
        else:
            for name, array in getattr(result, "inputs", {}).items():
                assert array.dtype == NUMPY[dtypes[name]]
                assert array.dtype != object or all(isinstance(each, bytes) for each in array.flat)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, VALUES), st.dictionaries(st.sampled_from("xy"), DTYPES), st.binary(max_size=3), st.data())
def test_any_json_is_answered_or_refused(document, dtypes, junk, data):
    body = json.dumps(document, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "surrogatepass")
    at = data.draw(st.integers(0, len(body)))
    answer_or_refuse(body, dtypes)
    answer_or_refuse(body[:at] + junk + body[at + data.draw(st.integers(0, 3)) :], dtypes)


@settings(max_examples=200, deadline=None)
@given(st.binary() | st.text(alphabet='{}[]":,\\u0dDcINaf1e.-\x00 ').map(str.encode))
def test_any_bytes_are_answered_or_refused(body):
    answer_or_refuse(body, {"x": "float"})
    answer_or_refuse(b'{"instances": ' + body + b"}", {"x": "string"})


@settings(max_examples=300, deadline=None)
@given(VALUES, DTYPES)
def test_the_fast_way_agrees_with_the_walk(value, dtype):
    fast = regular_array(value, dtype)
    if fast is not None:
        np.testing.assert_array_equal(fast, walked_array(value, dtype, "x"), strict=True)


@given(VALUES)
def test_pretty_is_the_same_json(value):
    def read_without_numbers(text):
        return json.loads(text, parse_int=lambda _: 0, parse_float=lambda _: 0, parse_constant=lambda _: 0)

    assert read_without_numbers(pretty(value)) == read_without_numbers(json.dumps(value))
