"""The picture of a regression: answers beside what is true."""

from collections.abc import Sequence

from nlp_suite.evaluation.plots import ACCENT, MUTED, drawing


def truth_and_answers(points: Sequence[Sequence[float]]) -> bytes:
    """Every point is a text: its true number to the right, the model's answer upwards.

    Args:
        points: pairs of truth and answer.

    Returns:
        SVG.
    """
    truth, answers = zip(*points)
    ends = [min(truth), max(truth)]
    with drawing("scatter", height=4.1) as (figure, out):
        ax = figure.subplots()
        ax.plot(ends, ends, "--", color=MUTED, linewidth=1.2, label="right")
        ax.plot(truth, answers, ".", color=ACCENT, markersize=4, alpha=0.45, label="a text")
        ax.set(xlabel="true", ylabel="answered")
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderpad=0, handlelength=1.8)
    return out.getvalue()
