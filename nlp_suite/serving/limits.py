"""How much work a request may ask for, whatever few bytes it is asked in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nlp_suite.serving.status import RequestTooLarge

_STRING_BYTES = 24  # that TensorFlow takes for a string besides its text


@dataclass(frozen=True)
class RequestLimits:
    """Limits that hold for every entrance; what is above is answered with RESOURCE_EXHAUSTED, over REST with 413.

    Attributes:
        max_rows: of an input, and maximum examples of a request.
        max_row_bytes: of a row of an input, and of an example with its context.
        max_bytes: of an input.
        max_repeated_bytes: of an input that is larger than what was sent of it: TensorFlow continues a short list of
            values with its last one, and a context belongs to every example.
    """

    max_rows: int = 16_384
    max_row_bytes: int = 4 * 2**20
    max_bytes: int = 2**31
    max_repeated_bytes: int = 64 * 2**20

    def check_rows(self, what: str, rows: int) -> None:
        """Refuses too many rows.

        Raises:
            RequestTooLarge: naming `what`.
        """
        if rows > self.max_rows:
            raise RequestTooLarge(
                f"{what} has {rows:,} rows; at most {self.max_rows:,} are allowed: send several requests"
            )

    def check_tensor(self, alias: str, shape: Sequence[int], value_bytes: int, *, repeated: bool = False) -> None:
        """Refuses an input that is too large.

        Args:
            alias: its name.
            shape: its shape.
            value_bytes: of all its values together.
            repeated: whether fewer bytes were sent.

        Raises:
            RequestTooLarge: naming the input.
        """
        rows = shape[0] if shape else 1
        self.check_rows(f"tensor {alias}", rows)
        limit = min(self.max_bytes, self.max_repeated_bytes) if repeated else self.max_bytes
        if value_bytes > limit:
            raise RequestTooLarge(f"tensor {alias} has {value_bytes:,} bytes; at most {limit:,} are allowed")
        if rows and value_bytes > rows * self.max_row_bytes:
            raise RequestTooLarge(
                f"tensor {alias} has {value_bytes // rows:,} bytes a row; at most {self.max_row_bytes:,} are allowed"
            )

    def check_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Refuses inputs that are too large, as they were read.

        Raises:
            RequestTooLarge: naming the input.
        """
        for alias, array in arrays.items():
            self.check_tensor(alias, array.shape, array_bytes(array))
            self.check_longest_row(alias, array)

    def check_longest_row(self, alias: str, array: np.ndarray) -> None:
        """Refuses an input of strings that has a row which is too large, however short its other rows are.

        Raises:
            RequestTooLarge: naming the input.
        """
        if array.dtype != object or not array.ndim or array_bytes(array) <= self.max_row_bytes:
            return
        longest = int(max(row_bytes(array)))
        if longest > self.max_row_bytes:
            raise RequestTooLarge(
                f"tensor {alias} has a row of {longest:,} bytes; at most {self.max_row_bytes:,} are allowed"
            )

    def check_examples(self, sizes: Sequence[int], context_bytes: int = 0) -> None:
        """Refuses too many examples, one that is too large, or a context that is too large for so many.

        Args:
            sizes: bytes of each example.
            context_bytes: of the context, which belongs to every example.

        Raises:
            RequestTooLarge: saying which.
        """
        self.check_rows("the request", len(sizes))
        if len(sizes) * context_bytes > self.max_repeated_bytes:
            raise RequestTooLarge(
                f"a context of {context_bytes:,} bytes for {len(sizes):,} examples: together at most "
                f"{self.max_repeated_bytes:,} are allowed"
            )
        longest = max(sizes, default=0) + context_bytes
        if longest > self.max_row_bytes:
            raise RequestTooLarge(
                f"an example has {longest:,} bytes, with the context; at most {self.max_row_bytes:,} are allowed"
            )


def string_bytes(values: Sequence[bytes]) -> int:
    """Bytes that TensorFlow takes for strings."""
    return sum(map(len, values)) + _STRING_BYTES * len(values)


def array_bytes(array: np.ndarray) -> int:
    """Bytes that TensorFlow takes for an array; strings are objects of `bytes`."""
    return string_bytes(array.ravel().tolist()) if array.dtype == object else array.nbytes


def row_bytes(array: np.ndarray) -> np.ndarray:
    """Bytes that TensorFlow takes for each row of an array, which has rows."""
    if array.dtype != object or not array.size:
        return np.full(len(array), array.nbytes / max(len(array), 1))
    return np.array([string_bytes(row) for row in array.reshape(len(array), -1).tolist()])
