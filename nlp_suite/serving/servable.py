"""A loaded version of a model: its SavedModel in a separate graph and session, run as a stock server runs it."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nlp_suite.errors import ExportError
from nlp_suite.export.serving_hints import ServingHints, read_hints
from nlp_suite.export.staging import check_version
from nlp_suite.serving.batching_parameters import BatchingParameters
from nlp_suite.serving.caller import Caller
from nlp_suite.serving.own_thread import RowTimes
from nlp_suite.serving.run_queue import RunQueue, in_slices, slices
from nlp_suite.serving.signature_names import DEFAULT_SIGNATURE
from nlp_suite.serving.status import invalid_argument

logger = logging.getLogger(__name__)
_MAX_BATCHED_FORMS = 64
_COMPILED_SUFFIX = "_xla"  # of the signature that XLA compiles, in exports that do not name it


@dataclass(frozen=True)
class SessionSettings:
    """How sessions are made.

    Attributes:
        tags: tags of the MetaGraph to load.
        intra_op_threads: threads of one operation. (On two cores one thread answered a single sentence 2.4 times as fast
            as two, and 32 at once no slower: the operations of a decoding step are too small to be split, and requests
            run in parallel anyway. TensorFlow's default of 0, one a core, is not offered.)
        inter_op_threads: threads that operations of all requests share, 0: one a core. (Short requests run in their own
            thread, see `own_thread`; others could not be ended there at their deadline.)
        batching: how requests are batched, or None.
        xla: whether XLA is on. A request of one row is then answered by the compiled form of its signature, where the
            export has one and requests are not batched: it took about half the time. (For 32 real sentences at once
            it took as long or longer: compiled, finished rows cannot be dropped.)
        queue: which runs wait for which; versions that have the same settings share it.
    """

    tags: tuple[str, ...] = ("serve",)
    intra_op_threads: int = 1
    inter_op_threads: int = 0
    batching: BatchingParameters | None = None
    xla: bool = False
    queue: RunQueue = field(default_factory=RunQueue, compare=False)


class Servable:
    """A loaded version.

    The graph runs through TensorFlow's C interface for sessions, which a stock server uses too: the same answers, the
    same messages, and none of Python's shape checks in between.

    Args:
        name: the model's name.
        version: its version number.
        path: the version's folder.
        settings: how its session is made.

    Attributes:
        signatures: `SignatureDef`s by name.
        page_form: the form of the page that the export names; empty where it names none.
        columns: input → the names that the export has for the places of its last dimension.

    Raises:
        tf.errors.OpError, OSError, ValueError: the folder holds no SavedModel that can be loaded, or a damaged one.
    """

    def __init__(self, name: str, version: int, path: Path, settings: SessionSettings):
        check_version(path)
        import tensorflow as tf
        import tensorflow_text  # noqa: F401  the graph uses its ops
        from tensorflow.python.client import pywrap_tf_session as native

        self.name, self.version, self.path, self.settings = name, version, Path(path), settings
        self._tf, self._graph = tf, tf.Graph()
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=settings.intra_op_threads,
            inter_op_parallelism_threads=settings.inter_op_threads,
        )
        self._session = tf.compat.v1.Session(graph=self._graph, config=config)
        try:
            with self._graph.as_default(), tensorflow_warnings_off(tf):
                loaded = tf.compat.v1.saved_model.load(self._session, list(settings.tags), str(path))
        except BaseException:
            self._session.close()
            raise
        self.signatures: dict[str, Any] = dict(loaded.signature_def)
        self._session._extend_graph()
        self._forms: dict[str, _Form] = {}
        self._places: dict[str, Any] = {}
        self._batched: dict[tuple[str, ...], Any] = {}
        self._lock, self._row_times = threading.Lock(), RowTimes()
        self._native, self._own_thread = native, None
        self._own_thread = self._run_options(inter_op_thread_pool=-1)
        hints = self._hints()
        self.page_form, self.columns = (hints.page_form, hints.columns) if hints else ("", {})
        self._independent_rows = hints is not None and hints.independent_rows
        self._compiled = self._compiled_forms(hints) if settings.xla and settings.batching is None else {}
        for signature, form in self._compiled.items():
            logger.info("%s version %d: %s answers %s of one row", self.name, self.version, form, signature)

    def _hints(self) -> ServingHints | None:
        try:
            return read_hints(self.path)
        except ExportError as error:  # the graph can be served without them
            logger.warning("%s version %d: %s", self.name, self.version, error)
            return None

    def _compiled_forms(self, hints: ServingHints | None) -> dict[str, str]:
        """Signature → its compiled form: as the export says, or what its name says of one that says nothing."""
        if hints is not None:
            pairs = list(hints.compiled.items())
        else:
            pairs = [(DEFAULT_SIGNATURE, name) for name in self.signatures if name.endswith(_COMPILED_SUFFIX)]
        return {name: form for name, form in pairs if self._same_interface(name, form)}

    def _same_interface(self, name: str, other: str) -> bool:
        """Whether there are both signatures, with the same inputs and outputs."""
        if not {name, other} <= self.signatures.keys():
            return False
        first, second = self.signatures[name], self.signatures[other]
        return set(first.inputs) == set(second.inputs) and set(first.outputs) == set(second.outputs)

    def run(
        self, signature: str, feeds: dict[str, np.ndarray], outputs: list[str], caller: Caller | None = None
    ) -> dict[str, np.ndarray]:
        """Answers one request.

        Args:
            signature: name of a signature.
            feeds: arrays by alias, strings as objects of `bytes`.
            outputs: aliases of the outputs wanted.
            caller: who waits for the answer; default: someone with all the time.

        Returns:
            Arrays by alias, sorted.

        Raises:
            ServingError: what batching refuses; the caller has gone, or its time is up.
            tf.errors.OpError: what TensorFlow refuses.
        """
        outputs, caller = sorted(outputs), caller or Caller()  # TensorFlow compiles each order anew
        batched = self._batched_form(signature, outputs)
        if batched is not None and batched.accepts(feeds):
            sources = {batched.sources[alias]: array for alias, array in feeds.items()}
            targets = {alias: batched.targets[alias] for alias in outputs}
            try:
                return self._answers(sources, targets, caller.seconds_left())
            except (self._tf.errors.InvalidArgumentError, self._tf.errors.OutOfRangeError):
                pass  # because of this request or of another in its batch: run alone, it gets its own error
        form, queue = self._form(signature), self.settings.queue
        rows = form.rows(feeds, outputs)
        # Elsewhere what a row is answered may be as wide as there are rows.
        can_be_cut = self._independent_rows or form.fixed.issuperset(outputs)
        parts = slices(feeds, rows, queue.max_rows) if rows and can_be_cut else []
        if len(parts) > 1:
            return in_slices(lambda part: self._run(signature, part, outputs, caller, None), feeds, parts, caller)
        return self._run(signature, feeds, outputs, caller, rows)

    def _run(
        self, signature: str, feeds: dict[str, np.ndarray], outputs: list[str], caller: Caller, rows: int | None
    ) -> dict[str, np.ndarray]:
        """Runs what is not batched; `rows` is None where it must run by itself."""
        form, fetched, key = self._form(signature), outputs, None
        if signature in self._compiled:
            if all(array.ndim and len(array) == 1 for array in feeds.values()):
                form = self._form(self._compiled[signature])
                fetched = sorted(form.outputs)  # all of them: each choice could be compiled anew, for seconds
        elif rows and self._independent_rows and form.fixed.issuperset(outputs):
            rows_of = [(alias, array.dtype, array.shape[1:]) for alias, array in sorted(feeds.items())]
            key = (self, signature, *outputs, *rows_of)
        targets = {alias: self._place(form.outputs[alias]) for alias in fetched}

        def run(arrays: dict[str, np.ndarray], seconds: float | None) -> dict[str, np.ndarray]:
            sources = {self._place(form.inputs[alias]): array for alias, array in arrays.items()}
            return self._answers(sources, targets, seconds, may_be_short=True)

        answers = self.settings.queue.run(run, feeds, caller, key=key, rows=rows or 1)
        return answers if fetched is outputs else {alias: answers[alias] for alias in outputs}

    def _form(self, signature: str) -> "_Form":
        if signature not in self._forms:
            self._forms[signature] = _Form(self.signatures[signature])
        return self._forms[signature]

    def _batched_form(self, signature: str, outputs: list[str]) -> Any:
        """The signature run through `BatchFunction`, made when it is first asked for these outputs.

        None where there is none: without batching, for a graph that cannot be cut or has reference variables, and past
        `_MAX_BATCHED_FORMS` sets of outputs, since each is a copy of a part of the graph and clients choose the sets.
        """
        if self.settings.batching is None:
            return None
        key = (signature, *outputs)
        if key not in self._batched:
            with self._lock:
                if key not in self._batched:
                    full = len(self._batched) >= _MAX_BATCHED_FORMS
                    self._batched[key] = None if full else self._make_batched(key, self.settings.batching)
        return self._batched[key]

    def _make_batched(self, key: tuple[str, ...], parameters: BatchingParameters) -> Any:
        from nlp_suite.serving.batching import BatchedSignature

        queue = f"{self.name}/{self.version}/{'/'.join(key)}"
        signature, *outputs = key
        try:
            with self._graph.as_default():
                batched = BatchedSignature(self.signatures[signature], outputs, parameters, queue)
        except (NotImplementedError, ValueError, TypeError, self._tf.errors.OpError) as error:
            logger.warning("%s version %d: %s is not batched: %s", self.name, self.version, signature, error)
            return None
        self._session._extend_graph()
        return batched

    def _place(self, tensor: str) -> Any:
        """A tensor as the C interface names it."""
        if tensor not in self._places:
            try:
                self._places[tensor] = self._graph.get_tensor_by_name(tensor)._as_tf_output()
            except (KeyError, ValueError) as error:
                raise invalid_argument(f"the graph has no tensor {tensor!r}: {error}") from error
        return self._places[tensor]

    def _answers(
        self,
        sources: Mapping[Any, np.ndarray],
        targets: Mapping[str, Any],
        seconds: float | None,
        may_be_short: bool = False,
    ) -> dict[str, np.ndarray]:
        """Arrays by alias, of arrays by place; `targets` are places by alias. A batched request is never short."""
        places, options, native = list(targets.values()), None, self._native
        key, rows = tuple(places), max((len(array) for array in sources.values() if array.ndim), default=1)
        is_short = may_be_short and self._row_times.is_short(key, rows, seconds)
        if is_short:
            options = self._own_thread
        elif seconds is not None:
            options = self._run_options(timeout_in_ms=max(1, int(seconds * 1000)))
        started = time.perf_counter()
        try:
            values = native.TF_SessionRun_wrapper(self._session._session, options, sources, places, [], None)
        except UnicodeDecodeError as error:  # TensorFlow's text quotes bytes of the request that are no UTF-8
            text = error.object.decode("utf-8", "replace")
            raise self._tf.errors.InvalidArgumentError(None, None, text) from None
        finally:
            if options is not None and not is_short:
                native.TF_DeleteBuffer(options)
        self._row_times.add(key, rows, time.perf_counter() - started)
        # A scalar comes as a number or as bytes.
        return {
            alias: value if isinstance(value, np.ndarray) else np.asarray(value, getattr(value, "dtype", object))
            for alias, value in zip(targets, values)
        }

    def _run_options(self, **options: int) -> Any:
        """Options of runs, as the C interface takes them; whoever asks for them deletes them."""
        return self._native.TF_NewBufferFromString(self._tf.compat.v1.RunOptions(**options).SerializeToString())

    def close(self) -> None:
        """Frees the session; no request may be running."""
        self._session.close()
        if self._own_thread is not None:
            self._native.TF_DeleteBuffer(self._own_thread)
            self._own_thread = None


class _Form:
    """What is the same for all requests to a signature.

    Args:
        definition: its `SignatureDef`.

    Attributes:
        inputs: alias → name of the tensor that is fed.
        outputs: alias → name of the tensor that is fetched.
        fixed: outputs whose rows all have one shape, whatever stands in other rows.
    """

    def __init__(self, definition: Any):
        self.inputs = {alias: info.name for alias, info in definition.inputs.items()}
        self.outputs = {alias: info.name for alias, info in definition.outputs.items()}
        self._by_row = {alias for alias, info in definition.outputs.items() if _by_row(info)}
        self._inputs_by_row = bool(self.inputs) and all(map(_by_row, definition.inputs.values()))
        self.fixed = {
            alias
            for alias in self._by_row
            if all(dim.size >= 0 for dim in definition.outputs[alias].tensor_shape.dim[1:])
        }

    def rows(self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str]) -> int | None:
        """The rows of a request, where the signature says that inputs and outputs have any number of them."""
        if not self._inputs_by_row or not self._by_row.issuperset(outputs):
            return None
        rows = {len(array) if array.ndim else None for array in feeds.values()}
        return rows.pop() if len(rows) == 1 else None


def _by_row(info: Any) -> bool:
    """Whether a tensor has any number of rows."""
    return bool(info.tensor_shape.dim) and info.tensor_shape.dim[0].size < 0


@contextmanager
def tensorflow_warnings_off(tf: Any) -> Iterator[None]:
    """Within the context TensorFlow's warnings, such as those on deprecation and loading, are not logged."""
    tensorflow_logger = tf.get_logger()
    level = tensorflow_logger.level
    tensorflow_logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        tensorflow_logger.setLevel(level)
