"""One of several processes that prepare: writes its parts of splits, as the process that has started it says.

Orders come pickled on standard input, and a line of JSON answers each on standard output. When the other process ends, this
one does too.
"""

import json
import os
import pickle
import queue
import threading
import traceback
from typing import Any

from nlp_suite import progress
from nlp_suite.backend import import_backend, own_process
from nlp_suite.config import load_experiment
from nlp_suite.data.parallel_prepare import Answer, Order
from nlp_suite.data.prepare import kind_of, open_assets, open_source
from nlp_suite.data.selection import Selection
from nlp_suite.errors import NlpSuiteError


def main() -> None:
    """Writes parts until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")  # whatever else is printed goes to standard error
    os.dup2(2, 1)
    progress.set_quiet(True)
    own_process()
    import_backend()
    orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    while True:
        order = orders.get()
        try:
            answer = write_part(order)
        except NlpSuiteError as error:
            answer = {"error": str(error)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def write_part(order: Order) -> Answer:
    """Writes a part of a split.

    Raises:
        NlpSuiteError: as `prepare`.
    """
    experiment = load_experiment(order.config)
    source, kind = open_source(experiment), kind_of(experiment)
    assets = open_assets(experiment, order.texts, order.labels, order.facts)
    examples = Selection(source, order.origin, order.rows, order.label)
    counts = kind.write_split(order.directory, examples, order.split, assets, order.part)
    return {"counts": counts, "remarks": source.remarks(order.origin)}


def _listen(orders: "queue.SimpleQueue[Any]") -> None:
    """Takes orders; the end of standard input is the end of this process."""
    with open(0, "rb", closefd=False) as source:
        while True:
            try:
                orders.put(pickle.load(source))
            except EOFError:
                os._exit(0)


if __name__ == "__main__":
    main()
