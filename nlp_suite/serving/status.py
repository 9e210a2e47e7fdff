"""Status codes, the error that carries one, and what each code is over HTTP and gRPC."""

import enum
import re

from nlp_suite.errors import NlpSuiteError

MESSAGE_LIMIT = 1024  # bytes of an error's text that go over gRPC
_NODES = re.compile(r"\s*\[\[\{\{.*?\}\}\]\]|\{\{(?:function_)?node [^{}]*\}\} ?")  # where in the graph it happened
_FIRST_OF_SEVERAL = re.compile(r"\d+ root error\(s\) found\.\s+\(0\) [A-Z_]+: (.*?)\s+\(1\) [A-Z_]+: ", re.DOTALL)


class Code(enum.IntEnum):
    """gRPC's status codes; TensorFlow's errors have the same numbers."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


class ServingError(NlpSuiteError, RuntimeError):
    """A request that cannot be answered; its code and text are what the client gets.

    Args:
        code: what went wrong, in gRPC's terms.
        message: the text for the client; what is no UTF-8 in it is replaced.

    Example:
        >>> error = ServingError(Code.NOT_FOUND, "Servable not found for request: Latest(m)")
        >>> HTTP_STATUS[error.code], str(error)
        (404, 'Servable not found for request: Latest(m)')
    """

    def __init__(self, code: Code, message: str):
        self.code, self.message = Code(code), readable(message)
        super().__init__(self.message)

    @property
    def http_status(self) -> int:
        """What the code is over HTTP."""
        return HTTP_STATUS[self.code]


class RequestTooLarge(ServingError):
    """A request that is larger, or asks for more work, than is allowed.

    Args:
        message: what is too large, and what is allowed.

    Example:
        >>> RequestTooLarge("tensor x has 20,000 rows; at most 16,384 are allowed").http_status
        413
    """

    http_status = 413

    def __init__(self, message: str):
        super().__init__(Code.RESOURCE_EXHAUSTED, message)


def invalid_argument(message: str) -> ServingError:
    """The error of a request, flag or file that says something impossible."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def readable(text: str) -> str:
    """`text` as valid UTF-8 can hold it: U+FFFD in place of lone surrogates, which stand for bytes that are no UTF-8."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def without_nodes(text: str) -> str:
    r"""A text of TensorFlow without the nodes of the graph that it names, and of several root errors the first.

    Example:
        >>> without_nodes("Matrix size-incompatible: In[0]: [1,4], In[1]: [3,1]\n\t [[{{node MatMul}}]]")
        'Matrix size-incompatible: In[0]: [1,4], In[1]: [3,1]'
    """
    text = _NODES.sub("", text)
    first = _FIRST_OF_SEVERAL.match(text)
    return first[1] if first else text


def truncated(message: str) -> str:
    """`message` as gRPC may carry it: valid UTF-8, and past 1,024 bytes cut and marked.

    Example:
        >>> len(truncated("x" * 5000)), truncated("short")
        (1036, 'short')
    """
    encoded = message.encode("utf-8", "replace")
    if len(encoded) <= MESSAGE_LIMIT:
        return encoded.decode("utf-8")
    return encoded[:MESSAGE_LIMIT].decode("utf-8", "ignore") + "...TRUNCATED"


def as_serving_error(error: BaseException) -> ServingError:
    """Any exception as a `ServingError`: TensorFlow's errors keep their code and message, others become INTERNAL.

    Nodes of the graph are taken out of TensorFlow's messages. A `ServingError` is returned as it is; `MemoryError` is
    RESOURCE_EXHAUSTED and `TimeoutError` DEADLINE_EXCEEDED.

    Example:
        >>> as_serving_error(KeyError("x")).message
        "KeyError: 'x'"
    """
    if isinstance(error, ServingError):
        return error
    code = getattr(error, "error_code", None)  # tf.errors.OpError, without importing TensorFlow
    if isinstance(code, int) and code in HTTP_STATUS and code != Code.OK:
        return ServingError(Code(code), without_nodes(str(getattr(error, "message", error))))
    text = f"{type(error).__name__}: {error}".removesuffix(": ")
    if isinstance(error, MemoryError):
        return ServingError(Code.RESOURCE_EXHAUSTED, text)
    return ServingError(Code.DEADLINE_EXCEEDED if isinstance(error, TimeoutError) else Code.INTERNAL, text)
