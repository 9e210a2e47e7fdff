"""The pictures of a report, as SVG that stands alone and also takes the colours of the page it is put into.

Everything is drawn with `matplotlib.figure.Figure` (no pyplot, hence no global state), in the colours of `COLORS` only,
so that a page can exchange them for its own. Text stays text: any script is shown by the reader's fonts.
"""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from nlp_suite.evaluation.number_format import less_is_better

COLORS = {
    "ink": "#1c2430",
    "muted": "#5b6675",
    "line": "#d9dee5",
    "accent": "#2457a6",
    "second": "#b4581c",
    "paper": "#fefefe",
}
INK, MUTED, LINE, ACCENT, SECOND, PAPER = COLORS.values()
FEW = 10  # answers: with fewer, a bin's accuracy says little
WIDTH = 4.75  # inches of 72 units: 342, about the width of a phone, so that 11 units are 11 pixels there
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a label may hold dollar signs
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 11,
    "axes.edgecolor": LINE,
    "axes.linewidth": 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
}


@contextmanager
def drawing(salt: str, width: float = WIDTH, height: float = 3.3) -> Iterator[tuple[Figure, io.BytesIO]]:
    """A figure, and a buffer that holds its SVG after the block; `salt` keeps ids of several pictures apart."""
    out = io.BytesIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": salt}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # measured with another font than is shown
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, out
        figure.savefig(
            out, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Type": None, "Format": None}
        )


def number(value) -> float | None:
    """A finite float, or None for anything else (None, NaN, an empty cell of a CSV)."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if abs(value) < float("inf") else None


def shorten(label: str, length: int = 14) -> str:
    """A label on one line, at most `length` characters."""
    label = "".join(c if c.isprintable() else " " for c in label)
    return label if len(label) <= length else label[: length - 1] + "…"


def best_interval(history: list[dict], best: dict | None = None) -> int | None:
    """Index of the best row: that of `best` by its `step`, `epoch` or `round` (from 1), else the best by validation.

    By validation: by the `metric` of `best` if there is one, else by accuracy, perplexity or loss, whichever it has.
    """
    for key in ("step", "epoch"):
        wanted = number((best or {}).get(key))
        for i, row in enumerate(history) if wanted is not None else ():
            if number(row.get(key)) == wanted:
                return i
    wanted = number((best or {}).get("round"))
    if wanted is not None and 1 <= wanted <= len(history):
        return int(wanted) - 1
    monitor = (best or {}).get("metric")
    for metric in ([str(monitor)] if monitor else []) + ["val_accuracy", "val_perplexity", "val_loss"]:
        values = {i: value for i, row in enumerate(history) if (value := number(row.get(metric))) is not None}
        if values:
            better = min if less_is_better(metric) else max
            return better(values, key=values.__getitem__)  # the first of equals
    return None


def curve_axis(history: list[dict]) -> tuple[str, list[float]]:
    """Name and values of the horizontal axis: the first of epochs, steps and checkpoint intervals to increase row by row.

    An `epoch` that starts at 0 is what Keras writes: a count of checkpoint intervals, shown from 1.
    """
    for key in ("epoch", "step"):
        values = [value for row in history if (value := number(row.get(key))) is not None]
        if len(values) == len(history) and all(a < b for a, b in pairwise(values)):
            if key == "epoch" and values and values[0] == 0:
                return "checkpoint interval", [value + 1 for value in values]
            return key, values
    return "checkpoint interval", [float(i + 1) for i in range(len(history))]


def has_curve(history: list[dict], metric: str) -> bool:
    """Whether any row holds a number for `metric`, in training or validation."""
    return any(number(row.get(prefix + metric)) is not None for row in history for prefix in ("", "val_"))


def learning_curves(
    history: list[dict], metrics: tuple[str, ...] = ("loss", "accuracy"), best: dict | None = None
) -> bytes:
    """Training and validation over the checkpoint intervals, one panel a metric, the best one marked.

    The axis of a perplexity is logarithmic where its values lie far apart.

    Args:
        history: rows with any of `epoch`, `step`, `<metric>` and `val_<metric>`; values may be None or NaN.
        metrics: the panels, from top to bottom.
        best: which interval was best, see `best_interval`.

    Returns:
        SVG.
    """
    key, x = curve_axis(history)
    chosen = best_interval(history, best)
    with drawing("curves " + " ".join(metrics), height=2.75 * len(metrics)) as (figure, out):
        axes = figure.subplots(len(metrics), 1, squeeze=False)[:, 0]
        for ax, metric in zip(axes, metrics):
            drawn = []  # values
            for column, name, color, dash in (
                (metric, "training", SECOND, "--"),
                ("val_" + metric, "validation", ACCENT, "-"),
            ):
                points = [(a, v) for a, row in zip(x, history) if (v := number(row.get(column))) is not None]
                if points:
                    drawn += [value for _, value in points]
                    marker = "o" if len(points) <= 20 else None
                    ax.plot(*zip(*points), dash, color=color, linewidth=1.8, marker=marker, markersize=3.5, label=name)
            if chosen is not None:
                best_x = x[chosen]
                ax.axvline(best_x, color=MUTED, linewidth=1, linestyle=":")
                side = -1 if best_x > (x[0] + x[-1]) / 2 else 1
                ax.annotate(
                    "best",
                    (best_x, 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(4 * side, -2),
                    textcoords="offset points",
                    ha="right" if side < 0 else "left",
                    va="top",
                    color=MUTED,
                    fontsize=10,
                )
                value = number(history[chosen].get("val_" + metric))
                if value is not None:
                    ax.plot(
                        [best_x], [value], "o", color=ACCENT, markersize=7, markerfacecolor=PAPER, markeredgewidth=2
                    )
            ax.set_xlabel(key)
            ax.set_ylabel("BLEU" if metric == "bleu" else metric.replace("_", " "))
            ax.margins(x=0.04, y=0.14)
            if len(x) == 1:
                ax.set_xlim(x[0] - 1, x[0] + 1)
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=len(x) < 2 or x[-1] - x[0] >= 2))
            ax.yaxis.set_major_locator(MaxNLocator(5))
            if metric.endswith("perplexity"):
                _perplexity_axis(ax, drawn)
            if key == "step":
                ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
            if metric.endswith("accuracy"):
                low, high = ax.get_ylim()
                ax.set_yticks([tick for tick in ax.get_yticks() if low <= tick <= min(high, 1 + 1e-9)])
                ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v * 100:.4g}%"))
            if ax.get_legend_handles_labels()[0]:
                ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderpad=0, handlelength=2.2)
    return out.getvalue()


def _perplexity_axis(ax, values: list[float]) -> None:
    """Logarithmic from a ratio of 5 on, with ticks such as 50, 100, 200."""
    if not values or min(values) <= 0 or max(values) <= 5 * min(values):
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}" if v >= 1000 else f"{v:g}"))
        return
    decades = math.log10(max(values) / min(values))
    ax.set_yscale("log")
    ax.margins(y=0.08)
    ax.set_ylabel("perplexity (log scale)")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1, 3) if decades < 3 else (1,)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: compact(v) if v >= 10 else f"{v:g}"))


def confusion_matrix(report: dict) -> bytes:
    """True classes by predicted ones: counts, and shares of each row as depth of colour (and as text up to 6 classes).

    Args:
        report: `labels` and `confusion_matrix` of a classification report.

    Returns:
        SVG; wider than the other pictures from 7 classes on.
    """
    names, matrix = [shorten(label) for label in report["labels"]], report["confusion_matrix"]
    count = len(names)
    cell = min(0.62, max(11 / count, 0.42)) if count > 6 else 0
    longest = max(map(len, names))
    turned = count > 6 or count * longest > 34
    width = max(WIDTH, 1.3 + cell * count)
    height = (cell * count if cell else 0.55 * count + 1.2) + 0.6 + (0.085 * longest if turned else 0)
    with drawing("confusion", width, height) as (figure, out):
        ax = figure.subplots()
        for i, row in enumerate(matrix):
            total = sum(row)
            for j, value in enumerate(row):
                share = value / total if total else 0.0
                ax.fill([j - 0.48, j + 0.48, j + 0.48, j - 0.48], [i - 0.47, i - 0.47, i + 0.47, i + 0.47],
                        facecolor=ACCENT, alpha=0.06 + 0.94 * share, linewidth=0)  # fmt: skip
                color = PAPER if share > 0.66 else INK if value else MUTED
                if count <= 6:
                    ax.text(j, i - 0.1, f"{value:,}", ha="center", va="center", color=color, fontsize=13, weight="bold")
                    ax.text(
                        j,
                        i + 0.2,
                        f"{share:.1%}" if total else "–",
                        ha="center",
                        va="center",
                        color=color,
                        fontsize=10.5,
                    )
                elif value:
                    ax.text(j, i, compact(value), ha="center", va="center", color=color, fontsize=11)
        ax.set_xlim(-0.5, count - 0.5)
        ax.set_ylim(count - 0.5, -0.5)
        ax.grid(False)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0, labelcolor=INK)
        ax.set_xticks(range(count), names, rotation=90 if turned else 0)
        ax.set_yticks(range(count), names)
        ax.set_xlabel("predicted")
        ax.set_ylabel("true")
    return out.getvalue()


def compact(value: float) -> str:
    """A count in at most four characters or so: 950, 1.2k, 25k, 1.3M."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.1f}".removesuffix(".0")[:4].rstrip(".") + unit
    return f"{value:.0f}"


def reliability(report: dict) -> bytes:
    """Accuracy against confidence with the diagonal of perfect calibration, and how many answers fall into each bin.

    Bins of fewer than 10 answers are hollow points off the line.

    Args:
        report: `reliability` of a classification report.

    Returns:
        SVG.
    """
    rows = [row for row in report["reliability"] if row["count"]]
    few = [row for row in rows if row["count"] < FEW]
    enough = [row for row in rows if row["count"] >= FEW]
    left = min([0.5] + [row["low"] for row in rows])
    bottom = max(0.0, min([left] + [row["accuracy"] - 0.05 for row in rows]))
    with drawing("reliability", height=4.1) as (figure, out):
        top, low = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        widths = [0.92 * (row["high"] - row["low"]) for row in rows]
        middles = [(row["low"] + row["high"]) / 2 for row in rows]
        top.bar(middles, [row["accuracy"] - bottom for row in rows], widths, bottom=bottom, color=ACCENT, alpha=0.18)
        top.plot([0, 1], [0, 1], "--", color=MUTED, linewidth=1.2, label="perfectly calibrated")
        for chosen, form, fill in ((enough, "-o", ACCENT), (few, "o", PAPER)):
            if chosen:
                points = [row["confidence"] for row in chosen], [row["accuracy"] for row in chosen]
                label = "this model" if chosen is enough or not enough else None
                top.plot(*points, form, color=ACCENT, linewidth=1.6, markersize=5, mfc=fill, clip_on=False, label=label)
        top.set(xlim=(left, 1), ylim=(bottom, 1.02), ylabel="accuracy")
        top.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        top.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        top.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderpad=0, handlelength=1.8)
        bars = low.bar(middles, [row["count"] for row in rows], widths, color=ACCENT, alpha=0.55)
        if len(rows) <= 10:
            low.bar_label(bars, [compact(row["count"]) for row in rows], padding=2, fontsize=9.5, color=MUTED)
        low.set(xlabel="confidence", ylabel="answers")
        low.margins(y=0.35)
        low.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        low.yaxis.set_major_formatter(FuncFormatter(lambda v, _: compact(v)))
        low.grid(False, axis="x")
    return out.getvalue()


def roc(report: dict) -> bytes:
    """The ROC curve of a two-class model: share of positives found against share of false alarms.

    Args:
        report: `roc` (not null) of a classification report.

    Returns:
        SVG.
    """
    false_rate, true_rate = zip(*report["roc"]["points"])
    with drawing("roc", height=4.1) as (figure, out):
        ax = figure.subplots()
        ax.plot([0, 1], [0, 1], "--", color=MUTED, linewidth=1.2, label="guessing")
        ax.fill_between(false_rate, true_rate, color=ACCENT, alpha=0.12, linewidth=0)
        ax.plot(false_rate, true_rate, color=ACCENT, linewidth=2, label="this model")
        ax.set(xlim=(-0.01, 1.0), ylim=(0, 1.02), xlabel="false positive rate", ylabel="true positive rate")
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderpad=0, handlelength=1.8)
    return out.getvalue()


def bleu_by_length(report: dict) -> bytes:
    """BLEU of the sentences of each length, with a line at that of all of them, and how many there are.

    Groups of fewer than 10 sentences are hollow.

    Args:
        report: `by_length` and `bleu` of a translation report.

    Returns:
        SVG.
    """
    rows, overall = report["by_length"], report["bleu"]["score"]
    positions, scores = range(len(rows)), [row["bleu"] for row in rows]
    with drawing("bleu by length", max(WIDTH, 0.75 * len(rows)), 4.1) as (figure, out):
        top, low = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        highest = max(overall, *scores, 1)
        top.axhline(
            overall, color=SECOND, linewidth=1.4, linestyle="--", zorder=0.9, label=f"all sentences: {overall:.1f}"
        )
        for drawn, row in zip(top.bar(positions, scores, 0.8, color=ACCENT), rows):
            few, inside = row["sentences"] < FEW, row["bleu"] > 0.15 * highest
            if few:
                drawn.set(facecolor=PAPER, edgecolor=ACCENT, linewidth=1.4, linestyle="--")
            top.annotate(
                f"{row['bleu']:.1f}",
                (drawn.get_x() + 0.4, row["bleu"]),
                xytext=(0, -5 if inside else 3),
                textcoords="offset points",
                ha="center",
                va="top" if inside else "bottom",
                color=PAPER if inside and not few else INK,
                fontsize=10,
            )
        top.set(ylabel="BLEU", ylim=(0, 1.08 * highest))
        top.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderpad=0, handlelength=1.8)
        counts = low.bar(positions, [row["sentences"] for row in rows], 0.8, color=ACCENT, alpha=0.45)
        low.bar_label(counts, [compact(row["sentences"]) for row in rows], padding=2, fontsize=9.5, color=MUTED)
        low.set(xlabel="words of the source", ylabel="sentences", xlim=(-0.6, len(rows) - 0.4))
        low.margins(y=0.35)
        low.set_xticks(positions, [row["group"] for row in rows])
        low.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        low.yaxis.set_major_formatter(FuncFormatter(lambda v, _: compact(v)))
        for ax in (top, low):
            ax.grid(False, axis="x")
    return out.getvalue()
