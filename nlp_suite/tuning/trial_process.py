"""The process of one trial: trains, tells the search the metric of every checkpoint interval, and is told whether to go on.

What comes and goes are lines of JSON on standard input and output. When the search ends, however, this process does too.
"""

import json
import os
import queue
import threading
import traceback
from collections.abc import Mapping
from typing import Any, TextIO

from nlp_suite import progress
from nlp_suite.backend import import_backend, own_process
from nlp_suite.config import load_experiment
from nlp_suite.errors import NlpSuiteError


def main() -> None:
    """Reads what to train from standard input and trains it."""
    answers = _own_channel()
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    order = json.loads(lines.get())
    progress.set_quiet(order["quiet"])

    def tell(**message: Any) -> None:
        print(json.dumps(message), file=answers, flush=True)

    def report(interval: int, logs: Mapping[str, Any]) -> str | None:
        tell(interval=interval, score=float(logs[order["monitor"]]))
        reason: str | None = json.loads(lines.get())["stop"]
        return reason

    try:
        own_process()
        import_backend()
        from nlp_suite.training.train import train

        train(load_experiment(order["config"]), order["run_dir"], callbacks=[report])
    except NlpSuiteError as error:
        tell(error=str(error))
    except Exception as error:
        traceback.print_exc()
        tell(error=f"{type(error).__name__}: {error}")
    else:
        tell(done=True)


def _own_channel() -> TextIO:
    """Standard output for the lines alone; whatever else is printed goes to standard error."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _listen(lines: "queue.SimpleQueue[str]") -> None:
    """Takes what the search says; its end is the end of this process."""
    # unbuffered: Python ends in a fatal error where a thread still waits in the buffer of sys.stdin
    with open(0, "rb", buffering=0, closefd=False) as source:
        for line in source:
            lines.put(line.decode())
    os._exit(1)


if __name__ == "__main__":
    main()
