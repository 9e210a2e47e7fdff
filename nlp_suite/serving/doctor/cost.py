"""What loading and a row cost: the version is loaded in another process, and asked what its warm-up file asks.

Run as a module it measures a version folder, and prints JSON.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from nlp_suite.serving.doctor.checks import Check

_MARK = "measured: "  # before what the process found
_ROWS = 64  # in one run, as the endpoint's slices have at most
_REPEATS = 5
_SECONDS = 900.0  # that loading and measuring may take together


def check(folder: Path) -> Check:
    """Measures a version folder: loading, the time of a row alone and among 64, and the memory of the process."""
    command = [sys.executable, "-m", __name__, str(folder)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return Check("cost", None, f"could not be measured: it was not done after {_SECONDS:,.0f} s")
    measured = _measured(run.stdout)
    if run.returncode or measured is None:
        return Check("cost", None, f"could not be measured: {_reason(run.returncode, run.stderr)}")
    loading = f"loaded in {measured['seconds']:.2f} s, with {measured['loading_mib']:,.0f} MiB beside TensorFlow's own"
    if not measured["signatures"]:
        return Check("cost", None, f"{loading}\nno record of Predict in the warm-up file to measure a row with")
    costs = [
        f"{name}: {cost['alone']:.2f} ms for one row, {cost['together'] / _ROWS:.2f} ms a row for {_ROWS} at once"
        for name, cost in measured["signatures"].items()
    ]
    return Check("cost", True, "\n".join([loading, *costs, f"the process took {measured['mib']:,.0f} MiB at most"]))


def _measured(output: str) -> dict[str, Any] | None:
    """What `_measure` found, in the output of a process in which libraries may have written, too; None: it is not there."""
    lines = [line.removeprefix(_MARK) for line in output.splitlines() if line.startswith(_MARK)]
    return json.loads(lines[-1]) if lines else None


def _reason(code: int, errors: str) -> str:
    """Why a process answered nothing: the signal that ended it, or the last line that it wrote."""
    if code == -signal.SIGKILL:
        return "the process was killed, as the system does where memory does not suffice"
    if code < 0:
        return f"the process was ended by {signal.Signals(-code).name}"
    return (errors.strip().splitlines() or [f"the process ended with {code}"])[-1]


def _measure(folder: Path) -> dict[str, Any]:
    """What is seen of a version.

    Returns:
        `seconds` and `loading_mib`, which loading took; `signatures`: name → milliseconds `alone` and `together`; `mib`: the
        most memory of this process.
    """
    import tensorflow_text  # noqa: F401  TensorFlow with it, which no model has to answer for

    from nlp_suite.serving.run_queue import RunQueue
    from nlp_suite.serving.servable import Servable, SessionSettings

    start, before = time.perf_counter(), _mib()
    servable = Servable("model", 1, folder, SessionSettings(queue=RunQueue(max_rows=_ROWS)))
    seconds, loading = time.perf_counter() - start, _mib() - before
    costs = {}
    for name, feeds in _examples(folder).items():
        together = {alias: np.resize(array, (_ROWS, *array.shape[1:])) for alias, array in feeds.items()}
        alone = _milliseconds(servable, name, {alias: array[:1] for alias, array in feeds.items()})
        costs[name] = {"alone": alone, "together": _milliseconds(servable, name, together)}
    return {"seconds": seconds, "loading_mib": loading, "signatures": costs, "mib": _most_mib()}


def _mib() -> float:
    """The memory that this process has now; where the system does not say it, the most that it has had."""
    import resource

    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        return _most_mib()


def _most_mib() -> float:
    """The most memory that this process has had."""
    import resource  # not on Windows, where the other checks are made all the same

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _examples(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Signature → the inputs of its record with most rows."""
    from nlp_suite.serving.tensor_protos import array_of
    from nlp_suite.serving.warmup import predict_requests

    examples: dict[str, dict[str, np.ndarray]] = {}
    most: dict[str, int] = {}
    for request in predict_requests(folder):
        feeds = {alias: array_of(proto, alias) for alias, proto in request.inputs.items()}
        rows = {len(array) if array.ndim else 0 for array in feeds.values()}
        name = request.model_spec.signature_name or "serving_default"
        if len(rows) == 1 and max(rows) > most.get(name, 0):
            examples[name], most[name] = feeds, max(rows)
    return examples


def _milliseconds(servable: Any, signature: str, feeds: dict[str, np.ndarray]) -> float:
    """Median of a few runs after a first one."""
    outputs, taken = list(servable.signatures[signature].outputs), []
    for _ in range(_REPEATS + 1):
        start = time.perf_counter()
        servable.run(signature, feeds, outputs)
        taken.append((time.perf_counter() - start) * 1e3)
    return float(np.median(taken[1:]))


if __name__ == "__main__":
    print(f"\n{_MARK}{json.dumps(_measure(Path(sys.argv[1])))}", flush=True)
