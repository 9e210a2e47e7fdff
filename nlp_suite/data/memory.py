"""Whether a batch can be filled, and be in memory, asked before it is made: the system ends a process that takes too much."""

import os
from pathlib import Path
from typing import Any

from nlp_suite.errors import ConfigError

FREE_ROWS = 1024  # up to which a batch may have more rows than there are to fill it
CONTROL_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine_memory() -> int:
    """Bytes of memory that this process may have: those of the machine, or of its container."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in map(Path, CONTROL_GROUPS):
        if path.is_file() and (limit := path.read_text("utf-8").strip()).isdecimal():
            available = min(available, int(limit))
    return available


def check_batch(keys: str, rows: int, length: int, backbone: Any) -> None:
    """Refuses a batch that cannot be in memory together with all that a step makes of it.

    That is token ids, targets and weights, a token's embedding and its features, and the gradients of both; they may take half
    of the memory, for what is within the layers takes as much again or more.

    Args:
        keys: the settings with their values that make the batch so large.
        rows: of the largest batch.
        length: its tokens a row, padding included.
        backbone: whose `embedding_size` and `output_size` tell what is kept of a token.

    Raises:
        ConfigError: with what would be possible.
    """
    half, token = machine_memory() // 2, 12 + 8 * (backbone.embedding_size + backbone.output_size)
    if rows * length * token > half:
        raise ConfigError(
            f"{keys}: a batch of {rows:,} rows of {length:,} tokens takes {rows * length * token / 2**30:,.0f} GiB for "
            f"embeddings and features alone, more than half of the {half / 2**29:,.0f} GiB of this machine; allowed: up to "
            f"{half // (length * token):,} rows of so many tokens, or up to {half // (rows * token):,} tokens in so many rows"
        )


def check_rows(rows: int, available: int) -> None:
    """Refuses batches of which most is empty: they have `training.batch_size` rows, whatever there is to fill them.

    Args:
        rows: of a batch.
        available: of the training split: texts, or windows of a text.

    Raises:
        ConfigError: with what would be possible.
    """
    allowed = max(available, FREE_ROWS)
    if rows > allowed:
        raise ConfigError(
            f"training.batch_size {rows:,}: the training split has {available:,} rows, so most of a batch would be empty; "
            f"allowed: up to {allowed:,}"
        )
