"""What the gRPC and the REST client have in common: the methods, deadlines, and what is known of a model's signatures."""

import time
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from nlp_suite.serving.client.answers import Metadata, Signature, VersionStatus
from nlp_suite.serving.client.errors import ServingClientError
from nlp_suite.serving.client.tensors import is_text, to_array
from nlp_suite.serving.status import Code

DEFAULT_SIGNATURE = "serving_default"
_POLL = 0.2  # seconds between two looks at a model that is not available yet


class Where(NamedTuple):
    """A model, and one version of it by number or label; neither: the latest."""

    model: str
    version: int | None = None
    label: str | None = None

    def check(self) -> "Where":
        if self.version is not None and self.label is not None:
            raise ValueError(f"version {self.version} and label {self.label!r}: give one of them")
        return self


class ServingClient(ABC):
    """A client of one server; it may be used by several threads at once.

    Args:
        target: the server's address.
        timeout: seconds that one call may take, all attempts together.
        retries: how often a call is tried again while the server cannot be reached.
    """

    def __init__(self, target: str, timeout: float, retries: int):
        self.target, self.timeout, self.retries = target, timeout, retries
        self._metadata: dict[Where, Metadata] = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def predict(
        self,
        model: str,
        inputs: dict | list[str],
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
                An array is sent with its own dtype; numbers in lists take that of the signature.
            signature: its name.
            version: a version's number; default: the latest.
            label: a version's label, instead of its number.
            outputs: names of those wanted; default: all.

        Returns:
            Output name → array. Strings are `str`, or bytes in a tensor with any that is no valid UTF-8.

        Raises:
            ServingClientError: the server refused or could not be reached.
            ValueError: the inputs do not fit the signature.

        Example:
            >>> client.predict("sentiment", ["A wonderful film."])["label"]
            array(['positive'], dtype=object)
        """
        where = Where(model, version, label).check()
        if isinstance(inputs, str | bytes):
            raise ValueError("inputs: give a list of texts (or a dict), not a single text")
        try:
            arrays = self._arrays(where, signature, inputs)
            return self._predict(where, signature, arrays, outputs)
        except ServingClientError:
            self._metadata.pop(where, None)  # the model may have changed
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
        return self._status(Where(model, version), self.timeout, self.retries)

    @abstractmethod
    def metadata(self, model: str, *, version: int | None = None, label: str | None = None) -> Metadata:
        """The signatures of a model; asks the server each time."""

    def wait_until_available(self, model: str, timeout: float = 60.0, *, version: int | None = None) -> VersionStatus:
        """Waits until a version of a model answers requests; also for the server itself.

        Raises:
            ServingClientError: `DEADLINE_EXCEEDED` after `timeout` seconds, with what was seen last; any other refusal
                at once.
        """
        deadline, seen = time.monotonic() + timeout, "nothing was seen of it"
        while (left := deadline - time.monotonic()) > 0:
            try:
                states = self._status(Where(model, version), min(left, self.timeout), retries=0)
                for state in states:
                    if state.state == "AVAILABLE":
                        return state
                seen = "; ".join(f"version {s.version} is {s.state} {s.message}".strip() for s in states)
            except ServingClientError as error:
                if error.code not in (Code.UNAVAILABLE, Code.NOT_FOUND, Code.DEADLINE_EXCEEDED):
                    raise
                seen = str(error)
            time.sleep(max(0.0, min(_POLL, deadline - time.monotonic())))
        raise self._error(Code.DEADLINE_EXCEEDED, model, f"not available after {timeout:g} s; last: {seen}")

    @abstractmethod
    def close(self) -> None:
        """Closes the connections."""

    @abstractmethod
    def _predict(self, where: Where, signature: str, arrays: dict, outputs: list[str] | None) -> dict: ...

    @abstractmethod
    def _status(self, where: Where, timeout: float, retries: int) -> list[VersionStatus]: ...

    def _error(self, code: Code, model: str, message: str) -> ServingClientError:
        return ServingClientError(code, f"{self.target}, model {model!r}: {message}")

    def _signature(self, where: Where, name: str) -> Signature:
        """A signature as last seen; the server is asked the first time, and again where it is not known."""
        if where not in self._metadata or name not in self._metadata[where].signatures:
            self._metadata[where] = self.metadata(*where[:1], version=where.version, label=where.label)
        return self._metadata[where].signature(name)

    def _arrays(self, where, signature, inputs) -> dict[str, np.ndarray]:
        """Input name → array to send; the signature is looked at only where it is needed."""
        if not isinstance(inputs, dict):
            return {self._signature(where, signature).only_input(signature): to_array(list(inputs), "string")}
        arrays = {}
        for name, value in inputs.items():
            dtype = None
            if not isinstance(value, np.ndarray) and not is_text(value):
                spec = self._signature(where, signature).inputs.get(name)
                dtype = spec.dtype if spec else None  # the server refuses the name
            try:
                arrays[name] = to_array(value, dtype)
            except (ValueError, TypeError, OverflowError) as error:
                raise ValueError(f"input {name!r}: {error}") from error
        return arrays
