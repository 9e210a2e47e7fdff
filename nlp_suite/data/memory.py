"""Whether a batch can be in memory, asked before it is made: the system ends a process that takes more than there is."""

import os
from pathlib import Path

from nlp_suite.errors import ConfigError

CONTROL_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine_memory() -> int:
    """Bytes of memory that this process may have: those of the machine, or of its container."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in map(Path, CONTROL_GROUPS):
        if path.is_file() and (limit := path.read_text("utf-8").strip()).isdecimal():
            available = min(available, int(limit))
    return available


def check_batch(keys: str, rows: int, length: int, features: int) -> None:
    """Refuses a batch that cannot be in memory: token ids, targets and weights, and the embeddings with their gradient.

    Args:
        keys: the settings with their values that make the batch so large.
        rows: of the largest batch.
        length: its tokens a row, padding included.
        features: of a token's embedding.

    Raises:
        ConfigError: with what would be possible.
    """
    memory, place = machine_memory(), 12 + 8 * features
    if rows * length * place > memory:
        raise ConfigError(
            f"{keys}: a batch of {rows:,} rows of {length:,} tokens takes {rows * length * place / 2**30:,.0f} GiB or more, "
            f"and this machine has {memory / 2**30:,.0f}; allowed: up to {memory // (length * place):,} rows of so many "
            f"tokens, or up to {memory // (rows * place):,} tokens in so many rows"
        )
