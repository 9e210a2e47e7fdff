"""What a servable answers to TensorFlow Serving's requests: protos in, protos out, the stock server's words for errors."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nlp_suite.serving.caller import Caller
from nlp_suite.serving.limits import RequestLimits
from nlp_suite.serving.servable import Servable
from nlp_suite.serving.signature_names import CLASSIFY, DEFAULT_SIGNATURE, REGRESS
from nlp_suite.serving.status import Code, ServingError, invalid_argument
from nlp_suite.serving.tensor_protos import array_of, fill_proto


def run_predict(
    servable: Servable,
    signature_name: str,
    inputs: dict[str, np.ndarray],
    output_filter: Sequence[str] = (),
    caller: Caller | None = None,
) -> dict[str, np.ndarray]:
    """Runs a signature on arrays.

    Args:
        servable: the loaded version.
        signature_name: empty: `serving_default`.
        inputs: arrays by alias; strings as objects of `bytes`.
        output_filter: the outputs wanted; empty: all.
        caller: who waits for the answer; default: someone with all the time.

    Returns:
        Arrays by alias.

    Raises:
        ServingError: an unknown signature, input or output.
        tf.errors.OpError: what TensorFlow refuses.
    """
    name = signature_name or DEFAULT_SIGNATURE
    signature = servable.signatures.get(name)
    if signature is None:
        raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    inputs = _with_defaults(signature, inputs)
    if len(inputs) != len(signature.inputs):
        sent, expected = sorted(inputs), sorted(signature.inputs)
        extra, missing = sorted(set(sent) - set(expected)), sorted(set(expected) - set(sent))
        raise invalid_argument(
            f"input size does not match signature: {len(sent)}!={len(expected)} len({{{','.join(sent)}}}) != "
            f"len({{{','.join(expected)}}}). Sent extra: {{{','.join(extra)}}}. "
            f"Missing but required: {{{','.join(missing)}}}."
        )
    for alias, info in signature.inputs.items():
        if alias not in inputs:
            raise invalid_argument(
                f"Signature input alias: {alias}(feed name: {info.name}) not found in request and no default value "
                f"provided. Inputs expected to be in the set {{{','.join(sorted(signature.inputs))}}}."
            )
    outputs = []
    for alias in output_filter:
        if alias not in signature.outputs:
            known = ",".join(sorted(signature.outputs))
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set {{{known}}}."
            )
        if alias in outputs:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        outputs.append(alias)
    return servable.run(name, inputs, outputs or sorted(signature.outputs), caller)


def _with_defaults(signature: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs, and those that the signature has default values for."""
    absent = set(signature.defaults) - set(inputs)
    return {**{alias: array_of(signature.defaults[alias], alias) for alias in absent}, **inputs}


def predict(
    servable: Servable,
    request: Any,
    *,
    limits: RequestLimits | None = None,
    as_content: bool = False,
    caller: Caller | None = None,
) -> Any:
    """Answers a `PredictRequest`; see `run_predict`."""
    from tensorflow_serving.apis import predict_pb2

    inputs = {alias: array_of(proto, alias, limits or RequestLimits()) for alias, proto in request.inputs.items()}
    spec = request.model_spec
    answers = run_predict(servable, spec.signature_name, inputs, list(request.output_filter), caller)
    response = predict_pb2.PredictResponse()
    fill_spec(response.model_spec, servable, spec.name, spec.signature_name or DEFAULT_SIGNATURE)
    for alias, array in answers.items():
        fill_proto(response.outputs[alias], np.asarray(array), as_content=as_content)
    return response


def classify(servable: Servable, request: Any, *, caller: Caller | None = None) -> Any:
    """Answers a `ClassificationRequest`."""
    from tensorflow_serving.apis import classification_pb2

    response = classification_pb2.ClassificationResponse()
    spec = request.model_spec
    fill_spec(response.model_spec, servable, spec.name, spec.signature_name or DEFAULT_SIGNATURE)
    _fill_classifications(
        response.result, classifications(servable, spec.signature_name, serialized(request.input), caller)
    )
    return response


def _fill_classifications(result: Any, rows: list[list[tuple[str, float]]]) -> None:
    for row in rows:
        classification = result.classifications.add()
        for label, score in row:
            classification.classes.add(label=label, score=score)


def regress(servable: Servable, request: Any, *, caller: Caller | None = None) -> Any:
    """Answers a `RegressionRequest`."""
    from tensorflow_serving.apis import regression_pb2

    response = regression_pb2.RegressionResponse()
    spec = request.model_spec
    fill_spec(response.model_spec, servable, spec.name, spec.signature_name or DEFAULT_SIGNATURE)
    _fill_regressions(response.result, regressions(servable, spec.signature_name, serialized(request.input), caller))
    return response


def _fill_regressions(result: Any, values: list[float]) -> None:
    for value in values:
        result.regressions.add(value=value)


def multi_inference(servable: Servable, request: Any, *, caller: Caller | None = None) -> Any:
    """Answers a `MultiInferenceRequest`: several Classify and Regress signatures of one model on the same examples."""
    from tensorflow_serving.apis import inference_pb2

    if not request.tasks:
        raise invalid_argument("Inference request must contain at least one task")
    examples, seen = serialized(request.input), set()
    response = inference_pb2.MultiInferenceResponse()
    for task in request.tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise invalid_argument(
                f"All ModelSpecs in a MultiInferenceRequest must access the same model name. Expected "
                f"{request.tasks[0].model_spec.name}, got {task.model_spec.name}"
            )
        if name in seen:
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        seen.add(name)
        if name not in servable.signatures:
            raise invalid_argument(f"Requested signature not found in model graph: {name}")
        if task.method_name not in (CLASSIFY, REGRESS):
            raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
    for task in request.tasks:
        name, result = task.model_spec.signature_name, response.results.add()
        fill_spec(result.model_spec, servable, task.model_spec.name, name or DEFAULT_SIGNATURE)
        if task.method_name == CLASSIFY:
            _fill_classifications(result.classification_result, classifications(servable, name, examples, caller))
        else:
            _fill_regressions(result.regression_result, regressions(servable, name, examples, caller))
    return response


def classifications(
    servable: Servable, signature_name: str, examples: list[bytes], caller: Caller | None = None
) -> list[list[tuple[str, float]]]:
    """Classes of each example as `(label, score)`; a signature without labels gives empty ones, without scores zeros."""
    signature = _example_signature(servable, signature_name)
    outputs = [alias for alias in ("classes", "scores") if alias in signature.outputs]
    if not outputs:
        raise invalid_argument(
            f"Expected classification signature outputs classes and/or scores; found {_names(signature)}"
        )
    answers = _run_examples(servable, signature_name, examples, outputs, caller)
    for alias, array in answers.items():
        if array.ndim != 2:
            raise invalid_argument(f"Expected Tensor shape: [batch_size num_{alias}] but got {list(array.shape)}")
        if len(array) != len(examples):
            raise invalid_argument(f"Expected {alias} output batch size of {len(examples)}, got {len(array)}")
    shape = answers[outputs[0]].shape
    labels, scores = answers.get("classes", np.full(shape, b"", object)), answers.get("scores", np.zeros(shape, "f4"))
    if labels.shape != scores.shape:
        raise invalid_argument(f"Tensors class and score should match in shape: {labels.shape} and {scores.shape}")
    return [
        [(label.decode("utf-8", "replace"), score) for label, score in zip(row_labels, row_scores)]
        for row_labels, row_scores in zip(labels, scores.tolist())
    ]


def regressions(
    servable: Servable, signature_name: str, examples: list[bytes], caller: Caller | None = None
) -> list[float]:
    """One number an example."""
    signature = _example_signature(servable, signature_name)
    if "outputs" not in signature.outputs:
        raise invalid_argument(f"Expected regression signature output outputs; found {_names(signature)}")
    values = _run_examples(servable, signature_name, examples, ["outputs"], caller)["outputs"]
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype != np.float32:
        raise invalid_argument(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] of float but got "
            f"{list(values.shape)} of {values.dtype}"
        )
    if len(values) != len(examples):
        raise invalid_argument(f"Input batch size did not match output batch size: {len(examples)} vs. {len(values)}")
    return [float(value) for value in values]


def _example_signature(servable: Servable, name: str) -> Any:
    name = name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise invalid_argument(f"No signature was found with the name: {name}")
    signature = servable.signatures[name]
    if list(signature.inputs) != ["inputs"]:
        raise invalid_argument(
            f"Expected one input Tensor named inputs; the signature has {', '.join(sorted(signature.inputs))}"
        )
    return signature


def _names(signature: Any) -> str:
    return ", ".join(sorted(signature.outputs)) or "none"


def _run_examples(
    servable: Servable, name: str, examples: list[bytes], outputs: list[str], caller: Caller | None
) -> dict[str, np.ndarray]:
    if not examples:
        raise invalid_argument("Input is empty.")
    inputs = np.empty(len(examples), object)
    inputs[:] = examples
    answers = servable.run(name or DEFAULT_SIGNATURE, {"inputs": inputs}, outputs, caller)
    return {alias: np.asarray(array) for alias, array in answers.items()}


def serialized(example_input: Any) -> list[bytes]:
    """The examples of an `Input`, each with the context's features in front."""
    if example_input.WhichOneof("kind") == "example_list_with_context":
        with_context = example_input.example_list_with_context
        context = with_context.context.SerializeToString()
        return [context + example.SerializeToString() for example in with_context.examples]
    return [example.SerializeToString() for example in example_input.example_list.examples]


def model_metadata(servable: Servable, request: Any) -> Any:
    """Answers a `GetModelMetadataRequest`; the only metadata are the signatures."""
    from tensorflow_serving.apis import get_model_metadata_pb2

    if not request.metadata_field:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != "signature_def":
            raise invalid_argument(f"Metadata field {field} is not supported")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    fill_spec(response.model_spec, servable, request.model_spec.name)
    signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signatures)
    response.metadata["signature_def"].Pack(signatures)
    return response


def fill_spec(spec: Any, servable: Servable, name: str, signature_name: str = "") -> None:
    """Says in a response which model and version answered."""
    spec.name, spec.signature_name = name, signature_name
    spec.version.value = servable.version
