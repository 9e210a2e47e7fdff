"""Everything that the endpoint does with a request, whichever port it came in at."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from nlp_suite.serving import inference
from nlp_suite.serving.access_log import AccessLog, note, note_failure
from nlp_suite.serving.caller import Caller
from nlp_suite.serving.limits import RequestLimits
from nlp_suite.serving.manager import Manager
from nlp_suite.serving.metrics import Metrics
from nlp_suite.serving.servable import Servable
from nlp_suite.serving.status import as_serving_error, invalid_argument


class Core:
    """Answers requests with the models of a manager, and counts them.

    Args:
        manager: the loaded models.
        metrics: where requests are counted.
        limits: how much work a request may ask for.
        as_content: tensors in answers as `tensor_content`.
        log: the log of requests.
    """

    def __init__(
        self,
        manager: Manager,
        metrics: Metrics,
        *,
        limits: RequestLimits | None = None,
        as_content: bool = False,
        log: AccessLog | None = None,
    ):
        self.manager, self.metrics, self.log = manager, metrics, log or AccessLog()
        self.limits, self._as_content = limits or RequestLimits(), as_content

    @contextmanager
    def counted(self, name: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts one request and its time; errors become `ServingError`s.

        Args:
            name: the model's name.
            api: Predict, Classify, Regress, MultiInference or GetModelMetadata.
            entrypoint: GRPC or REST.
        """
        note(model=name, api=api)
        start, status = time.perf_counter(), "OK"
        try:
            yield
        except Exception as error:
            note_failure(error)
            failure = as_serving_error(error)
            status = failure.code.name
            raise failure from error
        finally:
            name = name if name in self.manager.names() else ""  # clients choose it, and each name is kept
            microseconds = (time.perf_counter() - start) * 1e6
            self.metrics.observe("request_latency", microseconds, model_name=name, API=api, entrypoint=entrypoint)
            self.metrics.count("request_count", model_name=name, status=status)

    @contextmanager
    def running(self, name: str, api: str, examples: int) -> Iterator[None]:
        """Counts the time in the graph and the rows of a request."""
        note(rows=examples)
        start = time.perf_counter()
        yield
        microseconds = (time.perf_counter() - start) * 1e6
        self.metrics.observe("runtime_latency", microseconds, model_name=name, API=api, runtime="TF1")
        self.metrics.observe("request_example_counts", examples, model_name=name)
        self.metrics.count("request_example_count_total", examples, model_name=name)

    def predict(self, request: Any, caller: Caller | None = None) -> Any:
        """Answers a `PredictRequest`."""
        with self._servable(request) as servable, self.running(request.model_spec.name, "Predict", _rows(request)):
            return inference.predict(servable, request, limits=self.limits, as_content=self._as_content, caller=caller)

    def classify(self, request: Any, caller: Caller | None = None) -> Any:
        """Answers a `ClassificationRequest`."""
        with (
            self._servable(request) as servable,
            self.running(request.model_spec.name, "Classify", self._examples(request)),
        ):
            return inference.classify(servable, request, caller=caller)

    def regress(self, request: Any, caller: Caller | None = None) -> Any:
        """Answers a `RegressionRequest`."""
        with (
            self._servable(request) as servable,
            self.running(request.model_spec.name, "Regress", self._examples(request)),
        ):
            return inference.regress(servable, request, caller=caller)

    def multi_inference(self, request: Any, caller: Caller | None = None) -> Any:
        """Answers a `MultiInferenceRequest`; all tasks run on the version that the first one names."""
        if not request.tasks:
            raise invalid_argument("Inference request must contain at least one task")
        spec = request.tasks[0].model_spec
        with (
            self._servable(request.tasks[0]) as servable,
            self.running(spec.name, "MultiInference", self._examples(request)),
        ):
            return inference.multi_inference(servable, request, caller=caller)

    def model_metadata(self, request: Any, caller: Caller | None = None) -> Any:
        """Answers a `GetModelMetadataRequest`."""
        with self._servable(request) as servable:
            return inference.model_metadata(servable, request)

    def model_status(self, request: Any, caller: Caller | None = None) -> Any:
        """Answers a `GetModelStatusRequest`."""
        from tensorflow_serving.apis import get_model_status_pb2

        _check_spec(request)
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, state, error in self.manager.status(spec.name, version):
            entry = response.model_version_status.add(version=number, state=state)
            entry.status.error_code = int(error.code) if error else 0
            entry.status.error_message = error.message if error else ""
        return response

    def reload_config(self, request: Any, caller: Caller | None = None) -> Any:
        """Answers a `ReloadConfigRequest`: serves the list in it, and returns when new models are available."""
        from tensorflow_serving.apis import model_management_pb2

        self.manager.apply_config(request.config, caller.seconds_left() if caller else None)
        return model_management_pb2.ReloadConfigResponse()

    @contextmanager
    def use(self, spec: Any) -> Iterator[Servable]:
        """The servable that answers a request; see `Manager.use`."""
        with self.manager.use(spec) as servable:
            note(version=servable.version)
            yield servable

    def _examples(self, request: Any) -> int:
        """How many examples a request has, which must be neither too many nor too large."""
        if request.input.WhichOneof("kind") != "example_list_with_context":
            examples, context_bytes = request.input.example_list.examples, 0
        else:
            with_context = request.input.example_list_with_context
            examples, context_bytes = with_context.examples, with_context.context.ByteSize()
        self.limits.check_examples([example.ByteSize() for example in examples], context_bytes)
        return len(examples)

    def _servable(self, request: Any) -> AbstractContextManager[Servable]:
        _check_spec(request)
        return self.use(request.model_spec)


def _check_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")


def _rows(request: Any) -> int:
    """Rows of the first input, 1 for a scalar."""
    for proto in request.inputs.values():
        return max(0, proto.tensor_shape.dim[0].size) if proto.tensor_shape.dim else 1
    return 0
