"""What the clients return besides arrays: signatures of a model, and the state of its versions."""

from dataclasses import dataclass

from nlp_suite.errors import RequestError
from nlp_suite.registry import unknown
from nlp_suite.serving.status import Code


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a signature.

    Attributes:
        dtype: `string`, or the name of a NumPy type such as `float32`.
        shape: sizes, `None` where one is free; `None` itself where the rank is unknown.
    """

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """What a signature takes and returns, and its method name (`tensorflow/serving/predict`, `…/classify`, …)."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    method: str

    def only_input(self, name: str) -> str:
        """The name of its one input.

        Raises:
            RequestError: there are several, so that texts alone do not say which they are for.
        """
        if len(self.inputs) != 1:
            raise RequestError(f"signature {name!r} takes {', '.join(sorted(self.inputs)) or 'nothing'}: give a dict")
        return next(iter(self.inputs))


@dataclass(frozen=True)
class Metadata:
    """A version of a model and its signatures."""

    name: str
    version: int
    signatures: dict[str, Signature]

    def signature(self, name: str) -> Signature:
        """One signature; an unknown name is a `RequestError` that lists those that exist."""
        if name not in self.signatures:
            raise RequestError(f"model {self.name!r}: {unknown('signature', name, sorted(self.signatures))}")
        return self.signatures[name]


@dataclass(frozen=True)
class VersionStatus:
    """The state of one version: `START`, `LOADING`, `AVAILABLE`, `UNLOADING`, `END` or `UNKNOWN`; and why it failed."""

    version: int
    state: str
    code: Code
    message: str
