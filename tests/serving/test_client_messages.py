"""The clients' messages: tensors to and from arrays, and the same fields as the installed API."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from nlp_suite.serving.client import protos, tensors

NUMBERS = arrays_of.arrays(
    st.sampled_from(
        [
            "float32",
            "float64",
            "float16",
            "int8",
            "int16",
            "int32",
            "int64",
            "uint8",
            "uint16",
            "uint32",
            "uint64",
            "bool",
        ]
    ),
    arrays_of.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=4),
)


@settings(max_examples=200, deadline=None)
@given(NUMBERS | st.lists(st.text() | st.binary(), max_size=4).map(lambda texts: tensors.to_array(texts, "string")))
def test_tensors_come_back_as_they_were(array):
    proto = tensors.to_proto(tensors.to_array(array))
    found = tensors.from_proto(type(proto).FromString(proto.SerializeToString()))
    assert found.shape == array.shape
    if array.dtype == object:
        array = tensors.decoded(array)
        assert found.tolist() == array.tolist()
    else:
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def test_tensors_of_tensorflow_are_read_and_ours_by_it():
    import tensorflow as tf

    for array in (np.eye(2, dtype="float32"), np.arange(3), np.array([[b"a", b"\xff"]], object), np.float16([1.5, 2])):
        tensorflows = tf.make_tensor_proto(array)  # numbers as tensor_content
        ours = protos.message("tensorflow.TensorProto").FromString(tensorflows.SerializeToString())
        np.testing.assert_array_equal(tensors.from_proto(ours), array)
        back = tensors.to_proto(tensors.to_array(array)).SerializeToString()
        np.testing.assert_array_equal(tf.make_ndarray(type(tensorflows).FromString(back)), array)


TYPED = {
    "half_val": ["float16"],
    "float_val": ["float32"],
    "double_val": ["float64"],
    "int_val": ["int8", "int16", "int32", "uint8", "uint16"],
    "int64_val": ["int64"],
    "uint32_val": ["uint32"],
    "uint64_val": ["uint64"],
    "bool_val": ["bool"],
}


@pytest.mark.parametrize("dtype, field", [(dtype, field) for field, kinds in TYPED.items() for dtype in kinds])
def test_typed_values_are_read(dtype, field):
    """As a stock server sends them; and a short list, whose last value stands for the rest; and none at all."""
    import tensorflow as tf

    for values in ([1, 0, 1], [0, 1], []):
        proto = protos.message("tensorflow.TensorProto")(dtype=tf.as_dtype(dtype).as_datatype_enum)
        proto.tensor_shape.dim.add(size=3)
        getattr(proto, field).extend(np.array(values, dtype).view("uint16") if dtype == "float16" else values)
        found = tensors.from_proto(proto)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, tf.make_ndarray(proto))
        assert found.tolist() == (values + [1] * (3 - len(values)) if values else [0, 0, 0])


def test_tensors_that_make_no_sense_are_refused():
    proto = tensors.to_proto(np.arange(3))
    proto.tensor_shape.dim[0].size = 4
    with pytest.raises(ValueError, match=r"shape \[4\] with 3 values"):
        tensors.from_proto(proto)
    proto.tensor_shape.dim[0].size = -1
    with pytest.raises(ValueError, match="without a definite shape"):
        tensors.from_proto(proto)
    proto.dtype = 8
    with pytest.raises(ValueError, match="DT_COMPLEX64 is not read"):
        tensors.from_proto(proto)
    with pytest.raises(ValueError, match="complex128 cannot be sent"):
        tensors.to_array(np.array([1j]))


def test_the_messages_are_those_of_the_installed_api():
    """`python -m nlp_suite.serving.client.protos_from_api` was run after the last change."""
    from nlp_suite.serving.client.protos_from_api import file_descriptor_set

    compared = {"services": 0, "messages": 0}
    for file in file_descriptor_set().file:
        mine = protos.pool().FindFileByName(file.name)
        if not file.name.startswith("tensorflow_serving/") and not file.name.endswith(("tensor.proto", "types.proto")):
            continue
        for service in file.service:
            methods = {(m.name, m.input_type, m.output_type) for m in service.method}
            ours = mine.services_by_name[service.name].methods
            assert methods == {(m.name, f".{m.input_type.full_name}", f".{m.output_type.full_name}") for m in ours}
            compared["services"] += 1
        for message in file.message_type:
            fields = {(f.name, f.number, f.type, f.type_name) for f in message.field}
            kinds = {f.name: f.message_type or f.enum_type for f in mine.message_types_by_name[message.name].fields}
            assert fields == {
                (f.name, f.number, f.type, f".{kinds[f.name].full_name}" if kinds[f.name] else "")
                for f in mine.message_types_by_name[message.name].fields
            }
            compared["messages"] += 1
        for enum in file.enum_type:
            values = {value.name: value.number for value in enum.value}
            assert values == {v.name: v.number for v in mine.enum_types_by_name[enum.name].values}
    assert compared["services"] == 2 and compared["messages"] > 25
