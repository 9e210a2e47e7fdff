"""What the gRPC and the REST client have in common: the methods, deadlines, and what is known of a model's signatures."""

import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from numbers import Integral
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from nlp_suite.errors import RequestError, UsageError
from nlp_suite.registry import unknown
from nlp_suite.serving.client.answers import Metadata, Signature, VersionStatus
from nlp_suite.serving.client.errors import ServingClientError
from nlp_suite.serving.client.tensors import is_text, to_array
from nlp_suite.serving.signature_names import DEFAULT_SIGNATURE
from nlp_suite.serving.status import Code

_POLL_SECONDS = 0.2  # between two questions about a model that is not available yet


class ModelRef(NamedTuple):
    """A model, and one version of it by number or label; neither: the latest."""

    model: str
    version: int | None = None
    label: str | None = None

    def check(self) -> "ModelRef":
        """Returns itself.

        Raises:
            UsageError: a version that is no number, a label that is no text, or both of them.
        """
        if self.version is not None and self.label is not None:
            raise UsageError(f"version {self.version} and label {self.label!r}: give one of them")
        if self.version is not None and not (isinstance(self.version, Integral) and 0 <= self.version < 2**63):
            raise UsageError(f"version {self.version!r}: a whole number from 0 is expected (a name is given as label)")
        if self.label is not None and not isinstance(self.label, str):
            raise UsageError(f"label {self.label!r}: a text is expected (a number is given as version)")
        return self


def check_port(address: str, url: str) -> None:
    """Refuses `host:port` with an impossible port; the message quotes the `url` that holds it.

    Raises:
        UsageError: a port that is no number from 1 to 65535.
    """
    port = re.search(r":([^:\]@]*)$", address)
    if port and not (re.fullmatch(r"[0-9]{1,5}", port[1]) and 1 <= int(port[1]) <= 65535):
        raise UsageError(f"{url!r}: port {port[1]!r}; allowed are 1 to 65535")


class ServingClient(ABC):
    """A client of one server; it may be used by several threads at once.

    Args:
        target: the server's address.
        timeout: seconds that one call may take, all attempts together.
        retries: how often a call is tried again while the server cannot be reached.

    Raises:
        UsageError: a timeout that is no number above 0.
    """

    def __init__(self, target: str, timeout: float, retries: int):
        if not 0 < timeout <= threading.TIMEOUT_MAX:
            raise UsageError(f"timeout {timeout!r}: seconds above 0 are expected")
        self.target, self.timeout, self.retries = target, timeout, retries
        self._metadata: dict[ModelRef, Metadata] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def predict(
        self,
        model: str,
        inputs: dict[str, Any] | list[str],
        *,
        signature: str = DEFAULT_SIGNATURE,
        version: int | None = None,
        label: str | None = None,
        outputs: list[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Asks a signature.

        Args:
            model: its name.
            inputs: input name → array or nested lists, dim 0 the batch; or B texts, for a signature with one input.
                An array keeps its dtype; numbers in lists take that of the signature.
            signature: its name.
            version: a version's number; default: the latest.
            label: a version's label, instead of its number.
            outputs: names of the outputs to return; default: all.

        Returns:
            Output name → array. Strings are `str`, or bytes in a tensor with any that is no valid UTF-8.

        Raises:
            ServingClientError: the server refused or could not be reached.
            RequestError: the inputs do not fit the signature.
            UsageError: an impossible version or label.

        Example:
            >>> client.predict("sentiment", ["A wonderful film."])["label"]
            array(['positive'], dtype=object)
        """
        ref = ModelRef(model, version, label).check()
        if isinstance(inputs, str | bytes):
            raise RequestError("inputs: give a list of texts (or a dict), not a single text")
        try:
            arrays = self._arrays(ref, signature, inputs)
            return self._predict(ref, signature, arrays, outputs)
        except ServingClientError:
            self._metadata.pop(ref, None)  # the model may have changed
            raise

    @abstractmethod
    def classify(
        self,
        model: str,
        texts: list[str],
        *,
        signature: str = "classify",
        feature: str = "text",
        version: int | None = None,
        label: str | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Asks a Classify signature; each text becomes a `tf.Example` with one bytes feature.

        Returns:
            For each text (label, score) of every class, in the model's order.

        Raises:
            ServingClientError: the server refused or could not be reached.
        """

    def status(self, model: str, *, version: int | None = None) -> list[VersionStatus]:
        """The state of all versions of a model, or of one; the newest first."""
        return self._status(ModelRef(model, version).check(), self.timeout, self.retries)

    @abstractmethod
    def metadata(self, model: str, *, version: int | None = None, label: str | None = None) -> Metadata:
        """The signatures of a model; asks the server each time."""

    def wait_until_available(self, model: str, timeout: float = 60.0, *, version: int | None = None) -> VersionStatus:
        """Waits until a version of a model answers requests; also for the server to start.

        Raises:
            ServingClientError: `DEADLINE_EXCEEDED` after `timeout` seconds, with the last state; any other refusal at
                once.
        """
        ref = ModelRef(model, version).check()
        deadline, last = time.monotonic() + timeout, "nothing was seen of it"
        while (left := deadline - time.monotonic()) > 0:
            try:
                states = self._status(ref, min(left, self.timeout), retries=0)
                for state in states:
                    if state.state == "AVAILABLE":
                        return state
                last = "; ".join(f"version {s.version} is {s.state} {s.message}".strip() for s in states)
            except ServingClientError as error:
                if error.code not in (Code.UNAVAILABLE, Code.NOT_FOUND, Code.DEADLINE_EXCEEDED):
                    raise
                last = str(error)
            time.sleep(max(0.0, min(_POLL_SECONDS, deadline - time.monotonic())))
        raise self.error(Code.DEADLINE_EXCEEDED, model, f"not available after {timeout:g} s; last: {last}")

    @abstractmethod
    def close(self) -> None:
        """Closes the connections."""

    @abstractmethod
    def _predict(
        self, ref: ModelRef, signature: str, arrays: dict[str, np.ndarray], outputs: list[str] | None
    ) -> dict[str, np.ndarray]: ...

    @abstractmethod
    def _status(self, ref: ModelRef, timeout: float, retries: int) -> list[VersionStatus]: ...

    def error(self, code: Code, model: str, message: str) -> ServingClientError:
        """An error that names the server and the model."""
        return ServingClientError(code, f"{self.target}, model {model!r}: {message}")

    def _signature(self, ref: ModelRef, name: str, inputs: Iterable[str] = ()) -> Signature:
        """A signature as last seen; the server is asked the first time, and again where it or an input is not known."""
        seen = self._metadata[ref].signatures.get(name) if ref in self._metadata else None
        if seen is None or not set(inputs) <= seen.inputs.keys():
            self._metadata[ref] = self.metadata(ref.model, version=ref.version, label=ref.label)
        return self._metadata[ref].signature(name)

    def _arrays(self, ref: ModelRef, signature: str, inputs: dict[str, Any] | list[str]) -> dict[str, np.ndarray]:
        """Input name → array to send, each an input of the signature."""
        if not isinstance(inputs, dict):
            return {self._signature(ref, signature).only_input(signature): to_array(list(inputs), "string")}
        arrays, specs = {}, self._signature(ref, signature, inputs).inputs
        for name, value in inputs.items():
            if name not in specs:
                raise RequestError(f"signature {signature!r}: {unknown('input', name, sorted(specs))}")
            has_dtype = isinstance(value, np.ndarray) or is_text(value)
            try:
                arrays[name] = to_array(value, None if has_dtype else specs[name].dtype)
            except (ValueError, TypeError, OverflowError) as error:
                raise RequestError(f"input {name!r}: {error}") from error
        return arrays
