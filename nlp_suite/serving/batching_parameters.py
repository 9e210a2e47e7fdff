"""The batching file: what it says, and which of it this endpoint supports."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_suite.serving.status import invalid_argument
from nlp_suite.serving.text_protos import read_text_proto


@dataclass(frozen=True)
class BatchingParameters:
    """How requests are batched, in TensorFlow Serving's terms and with its defaults.

    Attributes:
        max_batch_size: maximum rows of a batch, and of a request (unless large ones are split).
        batch_timeout_micros: how long a batch waits for more rows, microseconds.
        max_enqueued_batches: batches that wait for a thread; past that, UNAVAILABLE.
        num_batch_threads: batches that run at once.
        allowed_batch_sizes: batches are filled up to one of these by repeating a row; empty: no filling up.
        enable_large_batch_splitting: whether a request larger than `max_execution_batch_size` is split.
        max_execution_batch_size: maximum rows that run at once where requests are split; 0: `max_batch_size`.
        pad_variable_length_inputs: whether narrower tensors are widened, with their own first element.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0
    pad_variable_length_inputs: bool = False

    def __post_init__(self) -> None:
        for name, minimum in {
            "max_batch_size": 1,
            "batch_timeout_micros": 0,
            "max_enqueued_batches": 1,
            "num_batch_threads": 1,
        }.items():
            if getattr(self, name) < minimum:
                raise invalid_argument(f"{name} is {getattr(self, name)}; allowed: {minimum} or more")
        sizes = self.allowed_batch_sizes
        if any(size < 1 for size in sizes) or list(sizes) != sorted(set(sizes)):
            raise invalid_argument(f"allowed_batch_sizes {list(sizes)} must be positive and increasing")
        largest = self.largest_execution
        name = "max_execution_batch_size" if self.enable_large_batch_splitting else "max_batch_size"
        if sizes and sizes[-1] != largest:
            raise invalid_argument(
                f"Last entry in allowed_batch_sizes must match {name}; last entry was {sizes[-1]}; expected {largest}"
            )
        if self.max_execution_batch_size and not self.enable_large_batch_splitting:
            raise invalid_argument("max_execution_batch_size needs enable_large_batch_splitting { value: true }")
        if largest > self.max_batch_size:
            raise invalid_argument(
                f"max_execution_batch_size is {largest}; allowed: 1 to max_batch_size ({self.max_batch_size})"
            )

    @property
    def largest_execution(self) -> int:
        """Maximum rows that run at once."""
        return (self.max_execution_batch_size if self.enable_large_batch_splitting else 0) or self.max_batch_size


def read_batching_parameters(path: str | Path) -> BatchingParameters:
    """Reads a batching file.

    Raises:
        ServingError: the file cannot be read, is no `BatchingParameters`, or holds impossible values. `thread_pool_name`
            is refused: all batches of a process share one pool.
    """
    message = read_text_proto(path, "BatchingParameters")
    if message.HasField("thread_pool_name"):
        raise invalid_argument("thread_pool_name is not supported: batches of all models share one pool")
    values: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name == "allowed_batch_sizes":
            values[field.name] = tuple(value)
        else:
            values[field.name] = value.value if field.message_type else value
    return BatchingParameters(**values)
