"""Predict, Classify, Regress and MultiInference on signatures of every kind, with a model that only pretends."""

import numpy as np
import pytest
from tensorflow.core.example.example_pb2 import Example
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import inference_pb2, input_pb2

from nlp_suite.serving import inference
from nlp_suite.serving.status import Code, ServingError


class FakeServable:
    """Answers what it is told to; `asked` is what it was asked."""

    version = 4

    def __init__(self, inputs, answers, defaults=()):
        signature = meta_graph_pb2.SignatureDef()
        for alias in inputs:
            signature.inputs[alias].name = f"{alias}:0"
        for alias in answers:
            signature.outputs[alias].name = f"{alias}:0"
        for alias, value in dict(defaults).items():
            signature.defaults[alias].dtype = 1
            signature.defaults[alias].float_val.append(value)
            signature.defaults[alias].tensor_shape.SetInParent()
        self.signatures = {"serving_default": signature, "other": signature}
        self.answers, self.asked = answers, []

    def run(self, name, feeds, outputs, timeout_ms):
        self.asked.append((name, feeds, outputs))
        return {alias: self.answers[alias] for alias in outputs}


def texts(*rows):
    return np.array(rows, object)


def numbers(*rows):
    return np.array(rows, "float32")


TWO = [b"", b""]


def refusal(function, *arguments):
    with pytest.raises(ServingError) as caught:
        function(*arguments)
    return caught.value.code.name, caught.value.message


# ---------------------------------------------------------------------------------------------------- classify


def test_classes_and_scores():
    model = FakeServable(
        ["inputs"], {"classes": texts([b"a", b"b"], [b"c", "ü".encode()]), "scores": numbers([1, 2], [3, 4])}
    )
    wanted = [[("a", 1.0), ("b", 2.0)], [("c", 3.0), ("ü", 4.0)]]
    assert inference.classifications(model, "", TWO) == wanted
    assert model.asked[0][0] == "serving_default" and model.asked[0][1]["inputs"].tolist() == TWO


def test_classes_alone_have_scores_of_zero_and_scores_alone_no_labels():
    assert inference.classifications(FakeServable(["inputs"], {"classes": texts([b"a"], [b"\xff"])}), "", TWO) == [
        [("a", 0.0)],
        [("\ufffd", 0.0)],
    ]
    assert inference.classifications(FakeServable(["inputs"], {"scores": numbers([1], [2])}), "other", TWO) == [
        [("", 1.0)],
        [("", 2.0)],
    ]


@pytest.mark.parametrize(
    "answers, message",
    [
        ({"y": numbers([1], [2])}, "Expected classification signature outputs classes and/or scores; found y"),
        ({"scores": numbers(1, 2)}, "Expected Tensor shape: [batch_size num_scores] but got [2]"),
        ({"scores": numbers([1])}, "Expected scores output batch size of 2, got 1"),
        (
            {"classes": texts([b"a", b"b"], [b"a", b"b"]), "scores": numbers([1], [2])},
            "Tensors class and score should match in shape: (2, 2) and (2, 1)",
        ),
    ],
)
def test_signatures_that_do_not_classify(answers, message):
    assert refusal(inference.classifications, FakeServable(["inputs"], answers), "", TWO) == (
        "INVALID_ARGUMENT",
        message,
    )


# ---------------------------------------------------------------------------------------------------- regress


@pytest.mark.parametrize("values", [numbers(1, 2), numbers([1], [2])])
def test_one_number_an_example(values):
    assert inference.regressions(FakeServable(["inputs"], {"outputs": values}), "", TWO) == [1.0, 2.0]


@pytest.mark.parametrize(
    "answers, message",
    [
        ({"y": numbers(1, 2)}, "Expected regression signature output outputs; found y"),
        (
            {"outputs": numbers([1, 2], [3, 4])},
            "either [batch_size] or [batch_size, 1] of float but got [2, 2] of float32",
        ),
        ({"outputs": np.array([1, 2])}, "but got [2] of int64"),
        ({"outputs": numbers(1)}, "Input batch size did not match output batch size: 2 vs. 1"),
    ],
)
def test_signatures_that_do_not_regress(answers, message):
    code, text = refusal(inference.regressions, FakeServable(["inputs"], answers), "", TWO)
    assert code == "INVALID_ARGUMENT" and message in text


def test_no_examples_and_other_inputs():
    model = FakeServable(["inputs"], {"outputs": numbers(1)})
    assert refusal(inference.regressions, model, "", []) == ("INVALID_ARGUMENT", "Input is empty.")
    assert refusal(inference.regressions, model, "x", TWO)[1] == "No signature was found with the name: x"
    two = FakeServable(["inputs", "more"], {"outputs": numbers(1)})
    assert (
        "Expected one input Tensor named inputs; the signature has inputs, more"
        in refusal(inference.regressions, two, "", TWO)[1]
    )


def test_an_examples_own_feature_goes_before_the_contexts():
    own, shared = Example(), Example()
    own.features.feature["x"].float_list.value.append(1.0)
    shared.features.feature["x"].float_list.value.append(2.0)
    shared.features.feature["y"].float_list.value.append(3.0)
    given = input_pb2.Input()
    given.example_list_with_context.context.CopyFrom(shared)
    given.example_list_with_context.examples.extend([own, Example()])
    read = [Example.FromString(each) for each in inference.serialized(given)]
    values = [{k: list(v.float_list.value) for k, v in each.features.feature.items()} for each in read]
    assert values == [{"x": [1.0], "y": [3.0]}, {"x": [2.0], "y": [3.0]}]


# ---------------------------------------------------------------------------------------------------- predict


def test_values_of_the_signature_itself_fill_in():
    model = FakeServable(["x", "scale"], {"y": numbers(1)}, {"scale": 0.5})
    inference.run_predict(model, "", {"x": numbers(1)})
    assert model.asked[0][1]["scale"].item() == 0.5
    inference.run_predict(model, "", {"x": numbers(1), "scale": numbers(2)})
    assert model.asked[1][1]["scale"].item() == 2.0


@pytest.mark.parametrize(
    "inputs, message",
    [
        (
            ["x"],
            "input size does not match signature: 1!=2 len({x}) != len({x,z}). Sent extra: {}. Missing but required: {z}.",
        ),
        (["x", "y", "z"], "3!=2 len({x,y,z}) != len({x,z}). Sent extra: {y}. Missing but required: {}."),
        (
            ["x", "y"],
            "Signature input alias: z(feed name: z:0) not found in request and no default value provided. Inputs expected to be in the set {x,z}.",
        ),
    ],
)
def test_other_inputs_than_the_signatures(inputs, message):
    model = FakeServable(["x", "z"], {"y": numbers(1)})
    code, text = refusal(inference.run_predict, model, "", {alias: numbers(1) for alias in inputs})
    assert code == "INVALID_ARGUMENT" and message in text and not model.asked


# ---------------------------------------------------------------------------------------------------- several at once


def tasks(*given):
    request = inference_pb2.MultiInferenceRequest()
    for name, signature, method in given:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = name, signature
    request.input.example_list.examples.add()
    return request


@pytest.mark.parametrize(
    "request_, code, message",
    [
        (tasks(), "INVALID_ARGUMENT", "Inference request must contain at least one task"),
        (
            tasks(("m", "other", inference.REGRESS), ("n", "", inference.REGRESS)),
            "INVALID_ARGUMENT",
            "must access the same model name",
        ),
        (
            tasks(("m", "", inference.REGRESS), ("m", "serving_default", inference.CLASSIFY)),
            "INVALID_ARGUMENT",
            "Duplicate evaluation of signature: serving_default",
        ),
        (tasks(("m", "x", inference.REGRESS)), "INVALID_ARGUMENT", "Requested signature not found in model graph: x"),
        (
            tasks(("m", "", "tensorflow/serving/predict")),
            "UNIMPLEMENTED",
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
    ],
)
def test_tasks_that_cannot_be(request_, code, message):
    model = FakeServable(["inputs"], {"outputs": numbers(1)})
    found = refusal(inference.multi_inference, model, request_)
    assert found[0] == code == Code[code].name and message in found[1] and not model.asked
