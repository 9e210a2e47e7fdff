"""Warm-up: a new version answers the requests recorded in it before it counts as available."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlp_suite.export.warmup import FILE
from nlp_suite.serving import inference
from nlp_suite.serving.servable import Servable, tensorflow_warnings_off
from nlp_suite.serving.status import Code, ServingError, as_serving_error, invalid_argument

MAX_RECORDS = 1000


def warm_up(servable: Servable, iterations: int = 1) -> int:
    """Runs every record of the version's warm-up file; does nothing where it has none.

    Args:
        servable: the version.
        iterations: times that each record runs.

    Returns:
        The number of records.

    Raises:
        ServingError: a record that cannot be read or fails, or more than 1,000: the version must then not be served.
    """
    path = servable.path / FILE
    if not path.is_file():
        return 0
    records = _records(path)
    if len(records) > MAX_RECORDS:
        raise invalid_argument(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
    for number, record in enumerate(records, 1):
        answer, request = _replay(record, path)
        try:
            for _ in range(max(1, iterations)):
                answer(servable, request)
        except Exception as error:
            cause = as_serving_error(error)
            raise ServingError(cause.code, f"warmup record {number} of {path} fails: {cause.message}") from error
    return len(records)


def _records(path: Path) -> list[bytes]:
    import tensorflow as tf

    records = []
    with tensorflow_warnings_off(tf):
        iterator = tf.compat.v1.io.tf_record_iterator(str(path))
    try:
        for record in iterator:
            records.append(record)
            if len(records) > MAX_RECORDS:
                break
    except tf.errors.DataLossError as error:
        text = f"{error.message} Please verify your warmup data is in TFRecord format."
        raise ServingError(Code.DATA_LOSS, text) from error
    return records


def predict_requests(folder: Path) -> list[Any]:
    """The `PredictRequest`s of a version's warm-up file.

    Raises:
        ServingError: a record that cannot be read.
    """
    path = folder / FILE
    logs = [_parsed(record, path) for record in (_records(path) if path.is_file() else [])]
    return [log.predict_log.request for log in logs if log.WhichOneof("log_type") == "predict_log"]


def _parsed(record: bytes, path: Path) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    try:
        return prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError:
        raise invalid_argument(f"Failed to parse warmup record: {record[:64]!r} from {path}") from None


def _replay(record: bytes, path: Path) -> tuple[Callable[[Servable, Any], Any], Any]:
    """The function that answers a record, and the request in it."""
    log = _parsed(record, path)
    kind = log.WhichOneof("log_type")
    functions: dict[str, Callable[[Servable, Any], Any]] = {
        "predict_log": inference.predict,
        "classify_log": inference.classify,
        "regress_log": inference.regress,
        "multi_inference_log": inference.multi_inference,
    }
    if kind not in functions:
        raise ServingError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind or 'none'}")
    return functions[kind], getattr(log, kind).request
