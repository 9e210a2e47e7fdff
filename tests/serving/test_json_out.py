"""Answers' bodies: the stock server's texts."""

import base64
import json

import ml_dtypes
import numpy as np
import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse

from nlp_suite.serving.rest.json_out import (
    write_classifications,
    write_error,
    write_metadata,
    write_predict,
    write_regressions,
    write_status,
)
from nlp_suite.serving.rest.json_text import float_texts
from nlp_suite.serving.status import Code, ServingError


def strings(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def load(body):
    return json.loads(body.decode("utf-8", "surrogateescape"))


FLOATS = {  # text → value
    "9e+06": 9000000, "999999.0": 999999, "0.5": 0.5, "0.0003": 0.0003, "3e-05": 0.00003, "555557.5": 555557.5,
    "0.333333343": 1 / 3, "1234567.0": 1234567, "1e+09": 1e9, "1.23456794e+09": 1234567890, "-0.0": -0.0, "0.0": 0,
    "3.0": 3, "-2.5": -2.5, "NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf, "3.40282347e+38": 3.4028235e38,
    "1.4013e-45": 1e-45, "0.1": 0.1, "0.899999917": 0.8999999,
}  # fmt: skip


def test_float32_texts():
    assert float_texts(np.array(list(FLOATS.values()), np.float32)) == list(FLOATS)


def test_float64_texts():
    values = [0.1, 1 / 3, 1e16, 12345678901234567.0, 1e17, 0.1 + 0.2, 1234567.0, 5e-324, -np.inf]
    assert float_texts(np.array(values)) == [
        "0.1", "0.33333333333333331", "1e+16", "12345678901234568.0", "1e+17", "0.30000000000000004", "1234567.0",
        "4.94066e-324", "-Infinity",
    ]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([(np.float32, ".9g"), (np.float64, ".17g")]).flatmap(
        lambda kind: st.tuples(
            st.just(kind[1]),
            arrays.arrays(kind[0], st.integers(0, 30), elements={"allow_nan": True})
            | arrays.arrays(np.int32, st.integers(0, 30)).map(lambda ints: (ints / 1000).astype(kind[0])),
        )
    )
)
def test_float_texts_follow_the_rule_one_by_one(case):
    long, values = case
    for text, value in zip(float_texts(values), values, strict=True):
        assert np.array_equal(values.dtype.type(json.loads(text)), value, equal_nan=True)
        if np.isfinite(value):
            six = f"{value:.6g}"
            expected = six if values.dtype.type(float(six)) == value else f"{value:{long}}"
            assert text == (expected if set(expected) & set(".e") else expected + ".0")


# ---- predict


@pytest.mark.parametrize(
    "outputs, rows, columns",
    [
        ({"y": np.array([3, 3.5], np.float32)}, [3.0, 3.5], [3.0, 3.5]),
        ({"y": np.arange(8, dtype=np.int64).reshape(2, 2, 2)}, [[[0, 1], [2, 3]], [[4, 5], [6, 7]]], None),
        ({"y": np.zeros((0, 2), np.int32)}, [], []),
        ({"y": np.zeros((2, 0), np.float32)}, [[], []], [[], []]),
        ({"y": np.zeros((0,), np.float16)}, [], []),
        ({"y": np.array([True, False])}, [True, False], None),
        ({"y": np.array([2**64 - 1], np.uint64)}, [2**64 - 1], None),
        ({"y": np.array([-128], np.int8)}, [-128], None),
        ({"out": strings(b"hello", 'ü"\\/\n\0'.encode())}, ["hello", 'ü"\\/\n\0'], None),
        ({"out": np.array([b"ab"])}, ["ab"], None),
        (
            {"out_bytes": strings(b"hello", b"world", b"tf", b"serving").reshape(2, 2)},
            [[{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}], [{"b64": "dGY="}, {"b64": "c2VydmluZw=="}]],
            None,
        ),
        ({"len_bytes": np.array([1])}, [1], None),
        (
            {"upper": strings(b"A", b"B"), 'n"': np.array([[1], [2]])},
            [{"upper": "A", 'n"': [1]}, {"upper": "B", 'n"': [2]}],
            {"upper": ["A", "B"], 'n"': [[1], [2]]},
        ),
        ({"a": np.zeros((0,)), "b": np.zeros((0, 3))}, [], {"a": [], "b": []}),
    ],
)
def test_predictions_and_outputs(outputs, rows, columns):
    assert load(write_predict(outputs, row_format=True)) == {"predictions": rows}
    assert load(write_predict(outputs, row_format=False)) == {"outputs": rows if columns is None else columns}


def test_layout_is_the_stock_servers():
    pairs = np.array([[1, 2.5], [3, 4]], np.float32)
    assert write_predict({"y": pairs}, True) == b'{\n    "predictions": [[1.0, 2.5], [3.0, 4.0]\n    ]\n}'
    assert write_predict({"y": np.zeros((0, 2))}, True) == b'{\n    "predictions": []\n}'
    assert write_predict({"y": np.array([[1], [2]])}, False).decode() == (
        '{\n    "outputs": [\n        [\n            1\n        ],\n        [\n            2\n        ]\n    ]\n}'
    )
    both = {"a": np.array([1, 2]), "b_bytes": strings(b"x", b"y").reshape(2, 1)}
    assert write_predict({key: value[:1] for key, value in both.items()}, True).decode() == (
        '{\n    "predictions": [\n        {\n            "a": 1,\n            "b_bytes": [{\n'
        '                    "b64": "eA=="\n                }]\n        }\n    ]\n}'
    )
    assert write_predict({"a": np.array(1), "b": np.array([1, 2])}, False).decode() == (
        '{\n    "outputs": {\n        "a": 1,\n        "b": [\n            1,\n            2\n        ]\n    }\n}'
    )


def test_scalars_have_no_row_format():
    assert load(write_predict({"out": np.array(7)}, False)) == {"outputs": 7}
    with pytest.raises(ServingError, match="^Tensor name: out has no shape information $") as caught:
        write_predict({"out": np.array(7)}, True)
    assert caught.value.code == Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "outputs, row_format, message",
    [
        ({"a": np.zeros(2), "b": np.zeros(1)}, True, "Tensor name: b has inconsistent batch size: 1 expecting: 2"),
        ({"a": np.zeros(0), "b": np.zeros(1)}, True, "Tensor name: b has inconsistent batch size: 1 expecting: 0"),
        ({}, True, "Cannot convert empty tensor map to JSON"),
        ({"a": np.zeros(2, np.float16)}, True, "Failed to write JSON value for tensor type: half"),
        ({"a": np.zeros(2, ml_dtypes.bfloat16)}, False, "Failed to write JSON value for tensor type: bfloat16"),
        ({"a": np.zeros(2, np.complex64)}, False, "Failed to write JSON value for tensor type: complex64"),
        ({"a": np.zeros(2, np.uint16)}, True, "Failed to write JSON value for tensor type: uint16"),
    ],
)
def test_answers_that_cannot_be_written(outputs, row_format, message):
    with pytest.raises(ServingError) as caught:
        write_predict(outputs, row_format)
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, message)


def test_invalid_utf8_passes_as_it_is():
    assert b'"a\xff\xc3\xbc"' in write_predict({"out": strings(b"a\xff\xc3\xbc")}, True)


ANY_ARRAY = arrays.arrays(
    st.sampled_from([np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_]),
    arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3),
)


@settings(deadline=None)
@given(ANY_ARRAY, st.booleans())
def test_numbers_come_back_as_they_were(array, row_format):
    (value,) = load(write_predict({"y": array}, row_format)).values()
    depth = array.shape.index(0) + 1 if 0 in array.shape else array.ndim  # an empty list hides what is inside it
    back = np.array(value, array.dtype)
    np.testing.assert_array_equal(back, array.reshape(array.shape[:depth]), strict=True)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=8), max_size=6), st.booleans(), st.sampled_from(["out", "out_bytes"]))
def test_strings_come_back_as_they_were(values, row_format, name):
    (back,) = load(write_predict({name: strings(*values)}, row_format)).values()
    if name == "out":
        assert [each.encode("utf-8", "surrogateescape") for each in back] == values
    else:
        assert [base64.b64decode(each["b64"]) for each in back] == values


# ---- the other answers


def test_classifications():
    body = write_classifications([[("ü", 0.75), (b"b\xff", 1 / 3)], [("", 3.0)], []])
    assert body == (
        '{\n    "results": [[["ü", 0.75], ["b'.encode() + b'\xff", 0.333333343]], [["", 3.0]], []\n    ]\n}'
    )
    with pytest.raises(ServingError, match="^Cannot convert empty ClassificationResults to JSON$"):
        write_classifications([])


def test_regressions():
    assert write_regressions([42, 1 / 3, float("nan")]) == b'{\n    "results": [42.0, 0.333333343, NaN]\n}'
    with pytest.raises(ServingError, match="^Cannot convert empty RegressionResults to JSON$"):
        write_regressions([])


def test_error():
    assert write_error('no "x"\n') == b'{\n    "error": "no \\"x\\"\\n"\n}'
    assert write_error("half \ud800") == b'{\n    "error": "half \xef\xbf\xbd"\n}'
    assert write_error("byte \udcff") == '{\n    "error": "byte \ufffd"\n}'.encode()


@given(st.text(alphabet=st.characters()))
def test_any_error_text_can_be_written(message):
    assert set(load(write_error(message))) == {"error"}


def test_status():
    response = ParseDict(
        {"model_version_status": [{"version": 123, "state": "AVAILABLE", "status": {}}]}, GetModelStatusResponse()
    )
    assert write_status(response).decode() == (
        '{\n "model_version_status": [\n  {\n   "version": "123",\n   "state": "AVAILABLE",\n   "status": {\n'
        '    "error_code": "OK",\n    "error_message": ""\n   }\n  }\n ]\n}\n'
    )
    response.model_version_status[0].status.error_message = "größer"
    assert "größer" in write_status(response).decode()


def test_metadata():
    shape = {"dim": [{"size": -1}, {"size": 1}]}
    signature = {
        "inputs": {"x": {"dtype": "DT_FLOAT", "tensorShape": shape, "name": "x:0"}},
        "outputs": {"y": {"dtype": "DT_FLOAT", "tensorShape": shape, "name": "y:0"}},
        "methodName": "tensorflow/serving/predict",
    }
    response = ParseDict({"modelSpec": {"name": "default", "version": 123}}, GetModelMetadataResponse())
    with pytest.raises(ServingError, match="^Failed to find 'signature_def' key") as caught:
        write_metadata(response)
    assert caught.value.code == Code.INTERNAL
    response.metadata["signature_def"].Pack(response.model_spec)
    with pytest.raises(ServingError, match="^Failed to unpack 'Any' object to 'SignatureDefMap'.$"):
        write_metadata(response)
    signatures = ParseDict({"signatureDef": {"serving_default": signature}}, SignatureDefMap())
    response.metadata["signature_def"].Pack(signatures)
    printed = {"dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}], "unknown_rank": False}
    assert load(write_metadata(response)) == {
        "model_spec": {"name": "default", "signature_name": "", "version": "123"},
        "metadata": {
            "signature_def": {
                "signature_def": {
                    "serving_default": {
                        "inputs": {"x": {"dtype": "DT_FLOAT", "tensor_shape": printed, "name": "x:0"}},
                        "outputs": {"y": {"dtype": "DT_FLOAT", "tensor_shape": printed, "name": "y:0"}},
                        "method_name": "tensorflow/serving/predict",
                        "defaults": {},
                    }
                }
            }
        },
    }
