"""Everything that the endpoint does with a request, whichever port it came in at."""

import time
from contextlib import contextmanager

from nlp_suite.serving import inference
from nlp_suite.serving.manager import Manager
from nlp_suite.serving.metrics import Metrics
from nlp_suite.serving.status import Code, ServingError, of_exception


class Core:
    """Answers requests with the models of a manager, and counts them.

    Args:
        manager: the loaded models.
        metrics: where requests are counted.
        max_tensor_bytes: most bytes of an input tensor.
        as_content: numbers in answers as `tensor_content`.
    """

    def __init__(self, manager: Manager, metrics: Metrics, *, max_tensor_bytes: int = 2**31, as_content: bool = False):
        self.manager, self.metrics = manager, metrics
        self._max_bytes, self._as_content = max_tensor_bytes, as_content

    @contextmanager
    def counted(self, name: str, api: str, entrypoint: str):
        """Counts one request and its time; errors become `ServingError`s.

        Args:
            name: the model's name.
            api: Predict, Classify, Regress, MultiInference or GetModelMetadata.
            entrypoint: GRPC or REST.
        """
        start, status = time.perf_counter(), "OK"
        try:
            yield
        except Exception as error:
            failed = of_exception(error)
            status = failed.code.name
            raise failed from error
        finally:
            known = name if name in self.manager.names() else ""  # any name may come in; only ours are kept
            taken = (time.perf_counter() - start) * 1e6
            self.metrics.observe("request_latency", taken, model_name=known, API=api, entrypoint=entrypoint)
            self.metrics.count("request_count", model_name=known, status=status)

    @contextmanager
    def running(self, name: str, api: str, examples: int):
        """Counts the time in the graph and the rows of a request."""
        start = time.perf_counter()
        yield
        taken = (time.perf_counter() - start) * 1e6
        self.metrics.observe("runtime_latency", taken, model_name=name, API=api, runtime="TF1")
        self.metrics.observe("request_example_counts", examples, model_name=name)
        self.metrics.count("request_example_count_total", examples, model_name=name)

    def predict(self, request, timeout_ms=None):
        """Answers a `PredictRequest`."""
        with self._servable(request) as servable, self.running(request.model_spec.name, "Predict", _rows(request)):
            return inference.predict(
                servable, request, max_bytes=self._max_bytes, as_content=self._as_content, timeout_ms=timeout_ms
            )

    def classify(self, request, timeout_ms=None):
        """Answers a `ClassificationRequest`."""
        with self._servable(request) as servable, self.running(request.model_spec.name, "Classify", _examples(request)):
            return inference.classify(servable, request, timeout_ms=timeout_ms)

    def regress(self, request, timeout_ms=None):
        """Answers a `RegressionRequest`."""
        with self._servable(request) as servable, self.running(request.model_spec.name, "Regress", _examples(request)):
            return inference.regress(servable, request, timeout_ms=timeout_ms)

    def multi_inference(self, request, timeout_ms=None):
        """Answers a `MultiInferenceRequest`; all tasks run on the version that the first one names."""
        if not request.tasks:
            raise ServingError(Code.INVALID_ARGUMENT, "Inference request must contain at least one task")
        spec = request.tasks[0].model_spec
        with (
            self._servable(request.tasks[0]) as servable,
            self.running(spec.name, "MultiInference", _examples(request)),
        ):
            return inference.multi_inference(servable, request, timeout_ms=timeout_ms)

    def model_metadata(self, request, timeout_ms=None):
        """Answers a `GetModelMetadataRequest`."""
        with self._servable(request) as servable:
            return inference.model_metadata(servable, request)

    def model_status(self, request, timeout_ms=None):
        """Answers a `GetModelStatusRequest`."""
        from tensorflow_serving.apis import get_model_status_pb2

        _spec(request)
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, state, error in self.manager.status(spec.name, version):
            entry = response.model_version_status.add(version=number, state=state)
            entry.status.error_code = int(error.code) if error else 0
            entry.status.error_message = error.message if error else ""
        return response

    def reload_config(self, request, timeout_ms=None):
        """Answers a `ReloadConfigRequest`: serves the list in it, and returns when new models are available."""
        from tensorflow_serving.apis import model_management_pb2

        self.manager.apply(request.config, None if timeout_ms is None else timeout_ms / 1000)
        return model_management_pb2.ReloadConfigResponse()

    def _servable(self, request):
        _spec(request)
        return self.manager.use(request.model_spec)


def _spec(request):
    if not request.HasField("model_spec"):
        raise ServingError(Code.INVALID_ARGUMENT, "Missing ModelSpec")


def _rows(request):
    """Rows of the first input, 1 for a scalar."""
    for proto in request.inputs.values():
        return max(0, proto.tensor_shape.dim[0].size) if proto.tensor_shape.dim else 1
    return 0


def _examples(request):
    given = request.input
    with_context = given.WhichOneof("kind") == "example_list_with_context"
    return len((given.example_list_with_context if with_context else given.example_list).examples)
