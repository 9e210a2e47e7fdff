"""One version of a model at work: its SavedModel in a graph and a session of its own, as a stock server runs it."""

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlp_suite.serving.batching_parameters import BatchingParameters
from nlp_suite.serving.status import Code, ServingError

logger = logging.getLogger(__name__)
_MOST_FORMS = 64
_COMPILED = {"serving_default": "translate_xla"}  # signature → its form compiled by XLA, where an export has one


@dataclass(frozen=True)
class SessionSettings:
    """How sessions are made.

    Attributes:
        tags: tags of the MetaGraph to load.
        intra_op_threads: threads of one operation. (On two cores one thread answered a single sentence 2.4 times as fast
            as two, and 32 at once no slower: the operations of a decoding step are too small to be shared out, and
            requests run side by side anyway. TensorFlow's own 0, one a core, is not offered.)
        inter_op_threads: threads that operations of all requests share, 0: one a core. (Operations that run in the
            request's own thread cost 10 µs less, but then nothing could end a request whose time is up.)
        batching: how requests are put together, or None.
        xla: whether XLA is on. A request of one row is then answered by the compiled form of its signature, where the
            export has one and requests are not put together: it took about half the time. (Of 32 real sentences at once
            it took as long or longer: compiled, rows that are finished cannot be dropped.)
    """

    tags: tuple[str, ...] = ("serve",)
    intra_op_threads: int = 1
    inter_op_threads: int = 0
    batching: BatchingParameters | None = None
    xla: bool = False


class Servable:
    """A loaded version.

    The graph runs through TensorFlow's C interface for sessions, which a stock server uses too: the same answers, the
    same messages, and no shape checks of Python's in between.

    Args:
        name: the model's name.
        version: its version number.
        path: the version's folder.
        settings: how its session is made.

    Attributes:
        signatures: `SignatureDef`s by name.

    Raises:
        tf.errors.OpError, OSError, ValueError: the folder holds no SavedModel that can be loaded.
    """

    def __init__(self, name: str, version: int, path: Path, settings: SessionSettings):
        import tensorflow as tf
        import tensorflow_text  # noqa: F401  its ops stand in the graph

        self.name, self.version, self.path, self.settings = name, version, Path(path), settings
        self._tf, self._graph = tf, tf.Graph()
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=settings.intra_op_threads,
            inter_op_parallelism_threads=settings.inter_op_threads,
        )
        self._session = tf.compat.v1.Session(graph=self._graph, config=config)
        try:
            with self._graph.as_default(), quiet(tf):
                loaded = tf.compat.v1.saved_model.load(self._session, list(settings.tags), str(path))
        except BaseException:
            self._session.close()
            raise
        self.signatures = dict(loaded.signature_def)
        self._session._extend_graph()
        self._places, self._batched, self._lock = {}, {}, threading.Lock()
        self._compiled = {}
        if settings.xla and settings.batching is None:
            self._compiled = {name: form for name, form in _COMPILED.items() if self._alike(name, form)}
        for name, form in self._compiled.items():
            logger.info("%s version %d: %s answers %s of one row", self.name, version, form, name)

    def run(
        self, signature: str, feeds: dict[str, np.ndarray], outputs: list[str], timeout_ms: int | None = None
    ) -> dict[str, np.ndarray]:
        """Answers one request.

        Args:
            signature: name of a signature.
            feeds: arrays by alias, strings as objects of `bytes`.
            outputs: aliases of the outputs wanted.
            timeout_ms: milliseconds until the request is given up.

        Returns:
            Arrays by alias, sorted.

        Raises:
            ServingError: what batching refuses.
            tf.errors.OpError: what TensorFlow refuses.
        """
        definition, outputs = self.signatures[signature], sorted(outputs)  # TensorFlow compiles each order anew
        batched = self._batched_form(signature, outputs) if self.settings.batching is not None else None
        if batched is not None and batched.takes(feeds):
            sources = {batched.sources[alias]: array for alias, array in feeds.items()}
            try:
                return self._answers(sources, {alias: batched.targets[alias] for alias in outputs}, timeout_ms)
            except (self._tf.errors.InvalidArgumentError, self._tf.errors.OutOfRangeError):
                pass  # of this request or of another in its batch: alone it gets what is its own
        wanted = outputs
        if signature in self._compiled and all(array.ndim and len(array) == 1 for array in feeds.values()):
            definition = self.signatures[self._compiled[signature]]
            wanted = sorted(
                definition.outputs
            )  # always all: another choice could be compiled anew, which takes seconds
        sources = {self._place(definition.inputs[alias].name): array for alias, array in feeds.items()}
        targets = {alias: self._place(definition.outputs[alias].name) for alias in wanted}
        answers = self._answers(sources, targets, timeout_ms)
        return {alias: answers[alias] for alias in outputs}

    def _alike(self, name, form) -> bool:
        """Whether the export has both signatures, with the same inputs and outputs."""
        both = [self.signatures[each] for each in (name, form) if each in self.signatures]
        return len(both) == 2 and all(
            set(getattr(both[0], s)) == set(getattr(both[1], s)) for s in ("inputs", "outputs")
        )

    def _batched_form(self, signature, outputs):
        """The signature put together with `BatchFunction`, made when it is first asked for these outputs.

        None where there is none: for a graph that cannot be cut or has reference variables, and past `_MOST_FORMS` sets
        of outputs, since each is a copy of a part of the graph and clients choose the sets.
        """
        key = (signature, *outputs)
        if key not in self._batched:
            with self._lock:
                if key not in self._batched:
                    self._batched[key] = self._made_batched(key) if len(self._batched) < _MOST_FORMS else None
        return self._batched[key]

    def _made_batched(self, key):
        from nlp_suite.serving.batching import BatchedSignature

        queue = f"{self.name}/{self.version}/{'/'.join(key)}"
        signature, *outputs = key
        try:
            with self._graph.as_default():
                made = BatchedSignature(self.signatures[signature], outputs, self.settings.batching, queue)
        except (NotImplementedError, ValueError, TypeError, self._tf.errors.OpError) as error:
            logger.warning("%s version %d: %s is not batched: %s", self.name, self.version, signature, error)
            return None
        self._session._extend_graph()
        return made

    def _place(self, tensor: str):
        """A tensor as the C interface names it."""
        if tensor not in self._places:
            try:
                self._places[tensor] = self._graph.get_tensor_by_name(tensor)._as_tf_output()
            except (KeyError, ValueError) as error:
                raise ServingError(Code.INVALID_ARGUMENT, f"the graph has no tensor {tensor!r}: {error}") from error
        return self._places[tensor]

    def _answers(self, sources, targets, timeout_ms):
        """Arrays by alias, of arrays by place; `targets` are places by alias."""
        from tensorflow.python.client import pywrap_tf_session as native

        options = None
        if timeout_ms is not None:
            message = self._tf.compat.v1.RunOptions(timeout_in_ms=max(1, int(timeout_ms)))
            options = native.TF_NewBufferFromString(message.SerializeToString())
        try:
            given = native.TF_SessionRun_wrapper(
                self._session._session, options, sources, list(targets.values()), [], None
            )
        except UnicodeDecodeError as error:  # TensorFlow's own text quotes bytes of the request that are no UTF-8
            text = error.object.decode("utf-8", "replace")
            raise self._tf.errors.InvalidArgumentError(None, None, text) from None
        finally:
            if options is not None:
                native.TF_DeleteBuffer(options)
        # A scalar comes as a number or as bytes.
        return {
            alias: np.asarray(each, None if hasattr(each, "dtype") else object) for alias, each in zip(targets, given)
        }

    def close(self) -> None:
        """Frees the session; no request may be running."""
        self._session.close()


class quiet:
    """Within the context TensorFlow's remarks, such as those on deprecation and loading, are not logged."""

    def __init__(self, tf):
        self._logger = tf.get_logger()

    def __enter__(self):
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)

    def __exit__(self, *_):
        self._logger.setLevel(self._level)
