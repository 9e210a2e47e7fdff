"""Prometheus metrics under TensorFlow Serving's names, in its text form."""

import bisect
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

PREFIX = ":tensorflow:serving:"
_BOUNDS = [10 * 1.8**i for i in range(33)]  # microseconds, as the stock server's buckets
_COUNTERS = {
    "request_count": "The total number of requests.",
    "request_example_count_total": "The total number of examples.",
}
_HISTOGRAMS = {
    "request_latency": "Distribution of wall time (in microseconds) for the whole request.",
    "runtime_latency": "Distribution of wall time (in microseconds) for the model's graph.",
    "request_example_counts": "Distribution of the number of examples in a request.",
    "model_warmup_latency": "Distribution of wall time (in microseconds) for a version's warm-up.",
}

_Labels = tuple[tuple[str, str], ...]  # name, value


@dataclass
class _Histogram:
    """Observations by bucket, and their sum."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS) + 1))
    total: float = 0.0


class Metrics:
    """Counts and distributions; safe to use from any thread.

    Example:
        >>> metrics = Metrics()
        >>> metrics.count("request_count", model_name="m", status="OK")
        >>> b'request_count{model_name="m",status="OK"} 1' in metrics.text()
        True
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, _Labels], float] = defaultdict(float)
        self._histograms: dict[tuple[str, _Labels], _Histogram] = defaultdict(_Histogram)

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        """Adds to a counter of `request_count` or `request_example_count_total`."""
        with self._lock:
            self._counts[name, tuple(labels.items())] += by

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Adds a value to a distribution; times are in microseconds."""
        with self._lock:
            histogram = self._histograms[name, tuple(labels.items())]
            histogram.buckets[bisect.bisect_left(_BOUNDS, value)] += 1
            histogram.total += value

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        lines = []
        with self._lock:
            for name, description in _COUNTERS.items():
                lines += [f"# HELP {PREFIX}{name} {description}", f"# TYPE {PREFIX}{name} counter"]
                lines += [
                    f"{PREFIX}{name}{_labels(labels)} {_number(count)}"
                    for (counted, labels), count in sorted(self._counts.items())
                    if counted == name
                ]
            for name, description in _HISTOGRAMS.items():
                lines += [f"# HELP {PREFIX}{name} {description}", f"# TYPE {PREFIX}{name} histogram"]
                for observed, labels in sorted(self._histograms):
                    if observed == name:
                        lines += _histogram(name, labels, self._histograms[name, labels])
        return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _histogram(name: str, labels: _Labels, histogram: _Histogram) -> list[str]:
    lines, below = [], 0
    for bound, number in zip([*(f"{b:g}" for b in _BOUNDS), "+Inf"], histogram.buckets):
        below += number
        lines.append(f"{PREFIX}{name}_bucket{_labels((*labels, ('le', bound)))} {below}")
    return [
        *lines,
        f"{PREFIX}{name}_sum{_labels(labels)} {_number(histogram.total)}",
        f"{PREFIX}{name}_count{_labels(labels)} {below}",
    ]


def _number(value: float) -> str:
    """All digits of a number, a whole one without a point."""
    return f"{value:.0f}" if value == int(value) else repr(value)


def _labels(labels: Sequence[tuple[str, str]]) -> str:
    def escaped(value: str) -> str:
        return str(value).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels) + "}" if labels else ""
