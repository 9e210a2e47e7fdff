"""What a servable answers to TensorFlow Serving's requests: protos in, protos out, the stock server's words for errors."""

import numpy as np

from nlp_suite.serving.servable import Servable
from nlp_suite.serving.status import Code, ServingError
from nlp_suite.serving.tensor_protos import array_of, proto_of

DEFAULT_SIGNATURE = "serving_default"
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def run_predict(
    servable: Servable, signature_name: str, inputs: dict[str, np.ndarray], output_filter=(), timeout_ms=None
) -> dict[str, np.ndarray]:
    """Runs a signature on arrays.

    Args:
        servable: the loaded version.
        signature_name: empty: `serving_default`.
        inputs: arrays by alias; strings as objects of `bytes`.
        output_filter: the outputs wanted; empty: all.
        timeout_ms: milliseconds until it is given up.

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
        sent, wanted = sorted(inputs), sorted(signature.inputs)
        extra, missing = sorted(set(sent) - set(wanted)), sorted(set(wanted) - set(sent))
        raise _invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)} len({{{','.join(sent)}}}) != "
            f"len({{{','.join(wanted)}}}). Sent extra: {{{','.join(extra)}}}. "
            f"Missing but required: {{{','.join(missing)}}}."
        )
    for alias, info in signature.inputs.items():
        if alias not in inputs:
            raise _invalid(
                f"Signature input alias: {alias}(feed name: {info.name}) not found in request and no default value "
                f"provided. Inputs expected to be in the set {{{','.join(sorted(signature.inputs))}}}."
            )
    outputs = []
    for alias in output_filter:
        if alias not in signature.outputs:
            known = ",".join(sorted(signature.outputs))
            raise _invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set {{{known}}}."
            )
        if alias in outputs:
            raise _invalid(f"duplicate output tensor alias: {alias}")
        outputs.append(alias)
    return servable.run(name, inputs, outputs or sorted(signature.outputs), timeout_ms)


def _with_defaults(signature, inputs):
    """The inputs, and those that the signature itself has values for."""
    absent = set(signature.defaults) - set(inputs)
    return {**{alias: array_of(signature.defaults[alias], alias, 2**31) for alias in absent}, **inputs}


def predict(servable: Servable, request, *, max_bytes=2**31, as_content=False, timeout_ms=None):
    """Answers a `PredictRequest`; see `run_predict`."""
    from tensorflow_serving.apis import predict_pb2

    inputs = {alias: array_of(proto, alias, max_bytes) for alias, proto in request.inputs.items()}
    spec = request.model_spec
    answers = run_predict(servable, spec.signature_name, inputs, list(request.output_filter), timeout_ms)
    response = predict_pb2.PredictResponse()
    fill_spec(response.model_spec, servable, spec.name, spec.signature_name or DEFAULT_SIGNATURE)
    for alias, array in answers.items():
        proto_of(np.asarray(array), response.outputs[alias], as_content=as_content)
    return response


def classify(servable: Servable, request, *, timeout_ms=None):
    """Answers a `ClassificationRequest`."""
    from tensorflow_serving.apis import classification_pb2

    response = classification_pb2.ClassificationResponse()
    spec = request.model_spec
    fill_spec(response.model_spec, servable, spec.name, spec.signature_name or DEFAULT_SIGNATURE)
    for row in classifications(servable, spec.signature_name, serialized(request.input), timeout_ms):
        made = response.result.classifications.add()
        for label, score in row:
            made.classes.add(label=label, score=score)
    return response


def regress(servable: Servable, request, *, timeout_ms=None):
    """Answers a `RegressionRequest`."""
    from tensorflow_serving.apis import regression_pb2

    response = regression_pb2.RegressionResponse()
    spec = request.model_spec
    fill_spec(response.model_spec, servable, spec.name, spec.signature_name or DEFAULT_SIGNATURE)
    for value in regressions(servable, spec.signature_name, serialized(request.input), timeout_ms):
        response.result.regressions.add(value=value)
    return response


def multi_inference(servable: Servable, request, *, timeout_ms=None):
    """Answers a `MultiInferenceRequest`: several Classify and Regress signatures of one model on the same examples."""
    from tensorflow_serving.apis import inference_pb2

    if not request.tasks:
        raise _invalid("Inference request must contain at least one task")
    examples, seen = serialized(request.input), set()
    response = inference_pb2.MultiInferenceResponse()
    for task in request.tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise _invalid(
                f"All ModelSpecs in a MultiInferenceRequest must access the same model name. Expected "
                f"{request.tasks[0].model_spec.name}, got {task.model_spec.name}"
            )
        if name in seen:
            raise _invalid(f"Duplicate evaluation of signature: {name}")
        seen.add(name)
        if name not in servable.signatures:
            raise _invalid(f"Requested signature not found in model graph: {name}")
        if task.method_name not in (CLASSIFY, REGRESS):
            raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
    for task in request.tasks:
        name, result = task.model_spec.signature_name, response.results.add()
        fill_spec(result.model_spec, servable, task.model_spec.name, name or DEFAULT_SIGNATURE)
        if task.method_name == CLASSIFY:
            for row in classifications(servable, name, examples, timeout_ms):
                made = result.classification_result.classifications.add()
                for label, score in row:
                    made.classes.add(label=label, score=score)
        else:
            for value in regressions(servable, name, examples, timeout_ms):
                result.regression_result.regressions.add(value=value)
    return response


def classifications(servable: Servable, signature_name: str, examples: list[bytes], timeout_ms=None):
    """Classes of each example as `(label, score)`; a signature without labels gives empty ones, without scores zeros."""
    signature = _example_signature(servable, signature_name)
    outputs = [alias for alias in ("classes", "scores") if alias in signature.outputs]
    if not outputs:
        raise _invalid(f"Expected classification signature outputs classes and/or scores; found {_names(signature)}")
    answers = _run_examples(servable, signature_name, examples, outputs, timeout_ms)
    for alias, array in answers.items():
        if array.ndim != 2:
            raise _invalid(f"Expected Tensor shape: [batch_size num_{alias}] but got {list(array.shape)}")
        if len(array) != len(examples):
            raise _invalid(f"Expected {alias} output batch size of {len(examples)}, got {len(array)}")
    labels, scores = answers.get("classes"), answers.get("scores")
    if labels is None:
        labels = np.full(scores.shape, b"", object)
    if scores is None:
        scores = np.zeros(labels.shape, "float32")
    if labels.shape != scores.shape:
        raise _invalid(f"Tensors class and score should match in shape: {labels.shape} and {scores.shape}")
    return [
        [(label.decode("utf-8", "replace"), score) for label, score in zip(*row)]
        for row in zip(labels, scores.tolist())
    ]


def regressions(servable: Servable, signature_name: str, examples: list[bytes], timeout_ms=None) -> list[float]:
    """One number an example."""
    signature = _example_signature(servable, signature_name)
    if "outputs" not in signature.outputs:
        raise _invalid(f"Expected regression signature output outputs; found {_names(signature)}")
    values = _run_examples(servable, signature_name, examples, ["outputs"], timeout_ms)["outputs"]
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype != np.float32:
        raise _invalid(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] of float but got "
            f"{list(values.shape)} of {values.dtype}"
        )
    if len(values) != len(examples):
        raise _invalid(f"Input batch size did not match output batch size: {len(examples)} vs. {len(values)}")
    return values.tolist()


def _example_signature(servable, name):
    name = name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise _invalid(f"No signature was found with the name: {name}")
    signature = servable.signatures[name]
    if list(signature.inputs) != ["inputs"]:
        raise _invalid(
            f"Expected one input Tensor named inputs; the signature has {', '.join(sorted(signature.inputs))}"
        )
    return signature


def _names(signature):
    return ", ".join(sorted(signature.outputs)) or "none"


def _run_examples(servable, name, examples, outputs, timeout_ms):
    if not examples:
        raise _invalid("Input is empty.")
    fed = np.empty(len(examples), object)
    fed[:] = examples
    answers = servable.run(name or DEFAULT_SIGNATURE, {"inputs": fed}, outputs, timeout_ms)
    return {alias: np.asarray(array) for alias, array in answers.items()}


def serialized(given) -> list[bytes]:
    """The examples of an `Input`, each with the context's features before its own."""
    if given.WhichOneof("kind") == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
        return [context + each.SerializeToString() for each in given.example_list_with_context.examples]
    return [each.SerializeToString() for each in given.example_list.examples]


def model_metadata(servable: Servable, request):
    """Answers a `GetModelMetadataRequest`; the only metadata are the signatures."""
    from tensorflow_serving.apis import get_model_metadata_pb2

    if not request.metadata_field:
        raise _invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != "signature_def":
            raise _invalid(f"Metadata field {field} is not supported")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    fill_spec(response.model_spec, servable, request.model_spec.name)
    signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signatures)
    response.metadata["signature_def"].Pack(signatures)
    return response


def fill_spec(spec, servable: Servable, name: str, signature_name: str = "") -> None:
    """Says in a response which model and version answered."""
    spec.name, spec.signature_name = name, signature_name
    spec.version.value = servable.version


def _invalid(message):
    return ServingError(Code.INVALID_ARGUMENT, message)
