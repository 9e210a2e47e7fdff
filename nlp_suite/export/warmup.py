"""The warm-up file: requests that TensorFlow Serving answers by itself before a new version counts as available.

`assets.extra/tf_serving_warmup_requests` is a TFRecord file of `tensorflow.serving.PredictionLog`. A record that fails
keeps the server from loading the version, so the file doubles as an acceptance test, and the first real request finds
tables and kernels ready.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlp_suite.errors import ExportError
from nlp_suite.export.cases import Case, tensor_proto
from nlp_suite.export.signatures import CLASSIFY, REGRESS

FILE = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS = 1000  # that the server reads


def write_warmup(directory: Path, cases: list[Case], methods: Mapping[str, str], model_name: str) -> Path:
    """Writes one record a case, at most 1,000.

    Args:
        directory: the version folder.
        cases: the requests; those of a Classify or Regress signature become classify or regress logs.
        methods: signature → method name, where it is not Predict.
        model_name: stands in the requests; the server ignores it.
    """
    import tensorflow as tf

    path = directory / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for case in cases[:MAX_RECORDS]:
            log = {CLASSIFY: _classify_log, REGRESS: _regress_log}.get(methods.get(case.signature, ""), _predict_log)
            writer.write(log(case, model_name).SerializeToString())
    return path


def _predict_log(case: Case, model_name: str) -> Any:
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model_name, case.signature
    for name, values in case.inputs.items():
        request.inputs[name].CopyFrom(tensor_proto(values))
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))


def _classify_log(case: Case, model_name: str) -> Any:
    from tensorflow_serving.apis import classification_pb2, prediction_log_pb2

    request = _with_examples(classification_pb2.ClassificationRequest(), case, model_name)
    return prediction_log_pb2.PredictionLog(classify_log=prediction_log_pb2.ClassifyLog(request=request))


def _regress_log(case: Case, model_name: str) -> Any:
    from tensorflow_serving.apis import prediction_log_pb2, regression_pb2

    request = _with_examples(regression_pb2.RegressionRequest(), case, model_name)
    return prediction_log_pb2.PredictionLog(regress_log=prediction_log_pb2.RegressLog(request=request))


def _with_examples(request: Any, case: Case, model_name: str) -> Any:
    """A Classify or Regress request, filled with the case's examples."""
    import tensorflow as tf

    request.model_spec.name, request.model_spec.signature_name = model_name, case.signature
    examples = [tf.train.Example.FromString(example) for example in case.inputs["inputs"]]
    request.input.example_list.examples.extend(examples)
    return request


def read_warmup(directory: Path) -> list[Case]:
    """Reads the file back with TensorFlow Serving's own messages: one case a record, without expected outputs.

    Raises:
        ExportError: a record that is no predict, classify or regress log.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    cases = []
    for number, record in enumerate(tf.data.TFRecordDataset(str(directory / FILE)).as_numpy_iterator(), 1):
        log = prediction_log_pb2.PredictionLog.FromString(record)
        kind = log.WhichOneof("log_type")
        if kind == "predict_log":
            request = log.predict_log.request
            inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        elif kind in ("classify_log", "regress_log"):
            request = getattr(log, kind).request
            inputs = {"inputs": [e.SerializeToString() for e in request.input.example_list.examples]}
        else:
            raise ExportError(f"warm-up record {number} is a {kind}; predict, classify and regress logs are expected")
        cases.append(Case(request.model_spec.signature_name, inputs, {}))
    return cases
