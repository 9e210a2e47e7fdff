"""The end of a verb by Ctrl-C or SIGTERM: what is half-written is removed, and a line says how to go on."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM, which is then treated as Ctrl-C is."""


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    raise Terminated


@contextmanager
def told() -> Iterator[None]:
    """Within the context an interruption ends the process with a line: the notes of the exception, or that it happened.

    The exit code is the shell's: 130 after Ctrl-C, 143 after SIGTERM.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminate) if main_thread else None
    try:
        yield
    except KeyboardInterrupt as error:
        print("\n".join(getattr(error, "__notes__", ["interrupted"])), file=sys.stderr)
        sys.exit(128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT))
    finally:
        if main_thread:
            signal.signal(signal.SIGTERM, before)
