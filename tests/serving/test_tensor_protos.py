"""TensorProtos as they come in from anywhere, and as they go out to every client."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from nlp_suite.errors import DataError
from nlp_suite.serving.client.tensors import from_proto
from nlp_suite.serving.limits import RequestLimits
from nlp_suite.serving.status import Code, ServingError
from nlp_suite.serving.tensor_protos import array_of, fill_proto

TYPES = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]


def proto(dtype, shape, **values):
    made = tensor_pb2.TensorProto(dtype=getattr(types_pb2, f"DT_{dtype.upper()}"))
    for size in shape:
        made.tensor_shape.dim.add(size=size)
    for field, value in values.items():
        if field == "tensor_content":
            made.tensor_content = value
        else:
            getattr(made, field).extend(value)
    return made


@pytest.mark.parametrize("as_content", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_there_and_back(dtype, as_content):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    made = tensor_pb2.TensorProto()
    fill_proto(made, array, as_content=as_content)
    assert bool(made.tensor_content) == as_content
    found = array_of(made, "x")
    np.testing.assert_array_equal(found, array)
    np.testing.assert_array_equal(tf.make_ndarray(made), array)  # as any client reads it
    assert found.dtype == array.dtype


@pytest.mark.parametrize("as_content", [False, True])
def test_texts_there_and_back(as_content):
    array = np.array([[b"a", "ü".encode()], [b"\xff\0", b""], [b"x" * 127, b"y" * 70000]], object)
    made = tensor_pb2.TensorProto()
    fill_proto(made, array, as_content=as_content)
    assert bool(made.tensor_content) == as_content and bool(made.string_val) != as_content
    assert array_of(made, "x").tolist() == array.tolist()
    assert stock(made).tolist() == array.tolist()
    assert from_proto(made).tolist() == array.tolist()  # as our client reads it


def stock(made):
    """What TensorFlow's own parser makes of a proto, as a stock server has it; None where it is no tensor."""
    try:
        return np.asarray(tf.io.parse_tensor(made.SerializeToString(), made.dtype).numpy())
    except tf.errors.InvalidArgumentError:
        return None


@pytest.mark.parametrize(
    "shape, content",
    [
        ([2], b"\1\2abb"),
        ([1], b"\0"),
        ([], b"\1a"),
        ([1, 1], b"\x80\1" + b"x" * 128),
        ([1], b"\x81\0a"),  # a longer form of 1
        ([1], b"\x81\x80\x80\x80\x10a"),  # past 32 bits
        ([1], b"\x81\x80\x80\x80\x80\0a"),
        ([1], b"\xff\xff\xff\xff\x0fa"),
        ([1], b"\x80"),
        ([1], b"\1"),
        ([1], b"\1\2abb"),
        ([2], b"\1\2ab"),
        ([2], b"\1\2abbx"),
        ([2**26], b"\1a"),
        ([0], b"anything"),
    ],
)
def test_texts_in_tensor_content_are_read_as_tensorflow_reads_them(shape, content):
    given = proto("string", shape, tensor_content=content, string_val=[b"not looked at"])
    wanted = stock(given)
    if wanted is None:
        with pytest.raises(ServingError, match="^tensor parsing error: x$"):
            array_of(given, "x", RequestLimits(max_rows=2**30))
        with pytest.raises(DataError, match="whose tensor_content is not that many strings"):
            from_proto(given)
    else:
        found = array_of(given, "x")
        assert found.shape == wanted.shape and found.tolist() == wanted.tolist()


@pytest.mark.parametrize("dtype", [*TYPES, "half", "bfloat16", "complex64", "complex128", "double"])
@pytest.mark.parametrize("size, sent", [(0, 2), (2, 2), (3, 2)])
def test_tensor_content_of_any_type_is_read_as_tensorflow_reads_it(dtype, size, sent):
    names = {"float32": "float", "float64": "double"}
    bytes_each = tf.as_dtype(names.get(dtype, dtype)).size
    given = proto(names.get(dtype, dtype), [size], tensor_content=bytes([0, 1] * 64)[: sent * bytes_each])
    wanted = stock(given)
    if wanted is None:
        with pytest.raises(ServingError, match="tensor parsing error"):
            array_of(given, "x")
    else:
        found = array_of(given, "x")
        assert found.dtype == wanted.dtype and found.tolist() == wanted.tolist()


@pytest.mark.parametrize("array", [np.float32(1.5), np.zeros([0, 3], "int32"), np.zeros([2, 0], object)])
def test_scalars_and_nothing(array):
    made = tensor_pb2.TensorProto()
    fill_proto(made, np.asarray(array))
    found = array_of(made, "x")
    assert found.shape == np.shape(array) and found.tolist() == array.tolist()


@pytest.mark.parametrize("dtype", [np.float16, tf.bfloat16.as_numpy_dtype, np.complex64])
def test_types_without_lists_of_numbers_go_as_tensorflow_writes_them(dtype):
    made = tensor_pb2.TensorProto()
    fill_proto(made, np.array([1.5, -2.0]).astype(dtype))
    assert array_of(made, "x").tolist() == [1.5, -2.0]


def test_a_short_list_goes_on_with_its_last_value():
    assert array_of(proto("float", [2, 2], float_val=[1, 2]), "x").tolist() == [[1, 2], [2, 2]]
    assert array_of(proto("int32", [3]), "x").tolist() == [0, 0, 0]
    assert array_of(proto("string", [2]), "x").tolist() == [b"", b""]
    assert array_of(proto("float", [1], string_val=[b"a"]), "x").tolist() == [0.0]  # values of another type


def test_of_a_long_list_the_first_values_are_taken():
    """As TensorFlow's own parser does it; perf_analyzer sends several texts in the shape of a scalar."""
    for given in [
        proto("string", [], string_val=[b"a", b"b"]),
        proto("string", [0], string_val=[b"a"]),
        proto("float", [], float_val=[1, 2]),
        proto("float", [2], float_val=[1, 2, 3]),
        proto("float", [0], float_val=[1]),
        proto("float", [2], float_val=[1], string_val=[b"a", b"b", b"c"]),  # values of another type
        proto("half", [1], half_val=[15360, 0]),
        proto("complex64", [1], scomplex_val=[1, 2, 3, 4, 5]),
    ]:
        wanted, taken = stock(given), array_of(given, "x")
        assert taken.shape == wanted.shape and taken.tolist() == wanted.tolist(), given


@pytest.mark.parametrize(
    "wrong",
    [
        proto("float", [-1], float_val=[1]),
        proto("float", [2], tensor_content=b"1234567"),
        proto("string", [1], tensor_content=b"a"),
        proto("half", [1], half_val=[70000]),
        proto("float", [1] * 65, float_val=[1]),
        proto("float", [0, 2**40, 2**40]),
        proto("float_ref", [1], float_val=[1]),
        proto("string_ref", [1]),
        proto("resource", [1]),
        proto("variant", [1]),
        proto("invalid", [1]),
        tensor_pb2.TensorProto(dtype=77),
    ],
    ids=lambda wrong: str(wrong).replace("\n", " ")[:60],
)
def test_what_is_no_tensor(wrong):
    with pytest.raises(ServingError, match="^tensor parsing error: x$") as caught:
        array_of(wrong, "x")
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_a_shape_without_a_rank():
    wrong = proto("float", [], float_val=[1])
    wrong.tensor_shape.unknown_rank = True
    with pytest.raises(ServingError, match="tensor parsing error"):
        array_of(wrong, "x")


@pytest.mark.parametrize(
    "wrong, limits, text",
    [
        (proto("string", [4_000_000], string_val=[b"x"]), {}, "4,000,000 rows; at most 16,384 are allowed"),
        (proto("string", [2**30]), {}, "1,073,741,824 rows"),
        (proto("float", [1, 2**40], float_val=[1]), {}, "bytes; at most 67,108,864 are allowed"),
        (proto("float", [1, 2**21], float_val=[1]), {}, "8,388,608 bytes a row; at most 4,194,304"),
        (proto("string", [1000], string_val=[b"x" * 100_000]), {}, "100,024,000 bytes; at most 67,108,864"),
        (proto("string", [1, 300_000], string_val=[b"x"]), {}, "7,500,000 bytes a row"),
        (proto("string", [2], string_val=[b"x" * 10, b"y" * 30]), {"max_row_bytes": 40}, "44 bytes a row"),
        (proto("float", [2**10], tensor_content=b"\0" * 2**12), {"max_bytes": 2**11}, "4,096 bytes; at most 2,048"),
        (proto("float", [3], float_val=[1, 2, 3]), {"max_rows": 2}, "3 rows; at most 2"),
    ],
    ids=lambda value: str(value).replace("\n", " ")[:60],
)
def test_sizes_are_bounded_before_memory_is_taken(wrong, limits, text):
    with pytest.raises(ServingError, match=text) as caught:
        array_of(wrong, "x", RequestLimits(**limits))
    assert caught.value.code == Code.RESOURCE_EXHAUSTED and caught.value.http_status == 413
