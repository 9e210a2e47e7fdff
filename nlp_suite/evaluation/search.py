"""How the report of a search is shown: what it found, what mattered, and every trial."""

import math
from typing import Any

from matplotlib.ticker import FuncFormatter, MaxNLocator

from nlp_suite.evaluation import plots
from nlp_suite.evaluation.number_format import share
from nlp_suite.evaluation.page import Html, Section, Tile, columns, escape, picture, table
from nlp_suite.evaluation.report import ReportView, duration, summary_table

SHOWN = 12  # settings in a picture


def score_by_trial(report: dict) -> bytes:
    """The score of every trial, hollow where it was pruned, and the best one so far as a line, as SVG."""
    trials = [trial for trial in report["trials"] if trial["score"] is not None]
    complete = [trial for trial in trials if trial["state"] == "complete"]
    better, best, line = min if report["mode"] == "min" else max, None, []
    for trial in complete:
        best = trial["score"] if best is None else better(best, trial["score"])
        line.append((trial["number"], best))
    with plots.drawing("scores") as (figure, out):
        ax = figure.subplots()
        if line:
            ends = [*line, (trials[-1]["number"], best)]
            ax.plot(*zip(*ends), drawstyle="steps-post", color=plots.SECOND, linewidth=1.4, label="best so far")
        cut = [trial for trial in trials if _shown(report, trial["score"]) != trial["score"]]
        for chosen, form, fill, label in (
            ([t for t in complete if t not in cut], "o", plots.ACCENT, "complete"),
            ([t for t in trials if t not in cut and t not in complete], "o", plots.PAPER, "ended early"),
            (cut, "^" if report["mode"] == "min" else "v", plots.PAPER, "far worse"),
        ):
            if chosen:
                points = [t["number"] for t in chosen], [_shown(report, t["score"]) for t in chosen]
                ax.plot(*points, form, color=plots.ACCENT, markersize=5.5, mfc=fill, label=label)
        ax.set(xlabel="trial", ylabel=report["monitor"])
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        ax.yaxis.set_major_locator(MaxNLocator(5))
        ax.legend(
            loc="lower left", bbox_to_anchor=(-0.1, 1.0), ncols=4, borderpad=0, handlelength=1.2, columnspacing=1.0
        )
    return out.getvalue()


def worst_shown(report: dict) -> float | None:
    """Where pictures cut the scores, so that a few bad trials do not press all others together; None if nowhere."""
    scores = [trial["score"] for trial in report["trials"] if trial["state"] == "complete"]
    if len(scores) < 4:
        return None
    best, worst = (min(scores), max(scores)) if report["mode"] == "min" else (max(scores), min(scores))
    middle = sorted(scores)[len(scores) // 2]
    return best + 3 * (middle - best) if abs(worst - best) > 4 * abs(middle - best) > 0 else None


def _shown(report: dict, score: float) -> float:
    """A score, or where it is cut."""
    if (end := worst_shown(report)) is None:
        return score
    return min(score, end) if report["mode"] == "min" else max(score, end)


def importances(report: dict) -> bytes:
    """How much of the score's variation each setting explains, as SVG."""
    items = list(report["importance"].items())[:SHOWN][::-1]
    names, shares = [plots.shorten(key, 28) for key, _ in items], [value for _, value in items]
    with plots.drawing("importance", height=max(1.2, 0.42 * len(items) + 0.7)) as (figure, out):
        ax = figure.subplots()
        bars = ax.barh(range(len(items)), shares, 0.62, color=plots.ACCENT, alpha=0.75)
        ax.bar_label(bars, [share(value, 0) for value in shares], padding=3, fontsize=10, color=plots.MUTED)
        ax.set_yticks(range(len(items)), names)
        ax.set(xlim=(0, max(shares) * 1.18 or 1), xlabel="share of the variation")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0%}"))
        ax.grid(False, axis="y")
    return out.getvalue()


def parallel_coordinates(report: dict) -> bytes:
    """A line for every trial through its settings to its score: the best one set apart, those ended early dashed, as SVG."""
    trials = [t for t in report["trials"] if t["score"] is not None and t["settings"]]
    keys = list(dict.fromkeys(key for trial in trials for key in trial["settings"]))[:SHOWN]
    axes = [_Axis([t["settings"].get(key) for t in trials], key in report["log"]) for key in keys]
    ranked = sorted((t["score"] for t in trials), reverse=report["mode"] == "max")
    rank = {score: i / max(1, len(ranked) - 1) for i, score in reversed(list(enumerate(ranked)))}
    axes.append(_Axis([_shown(report, t["score"]) for t in trials], False, upside_down=report["mode"] == "min"))
    names = [*(plots.shorten(key.split(".", 1)[-1], 18) for key in keys), report["monitor"]]
    best = report["best"]["trial"] if report["best"] else None
    with plots.drawing("parallel", max(plots.WIDTH, 1.25 * len(axes)), 3.9) as (figure, out):
        ax = figure.subplots()
        for i, trial in enumerate(trials):
            heights = [axis.heights[i] for axis in axes]
            chosen, early = trial["number"] == best, trial["state"] != "complete"
            ax.plot(
                range(len(axes)),
                heights,
                linestyle="--" if early else "-",
                color=plots.SECOND if chosen else plots.MUTED if early else plots.ACCENT,
                linewidth=2.4 if chosen else 1.1,
                alpha=1 if chosen else 0.3 if early else 0.9 - 0.7 * rank[trial["score"]],
                zorder=3 if chosen else 2,
            )
        for x, axis in enumerate(axes):
            ax.axvline(x, color=plots.LINE, linewidth=1, zorder=1)
            for height, text in axis.ticks:
                ax.annotate(
                    text, (x, height), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9.5,
                    color=plots.INK, bbox={"facecolor": plots.PAPER, "alpha": 0.7, "linewidth": 0, "pad": 1}, zorder=4,
                )  # fmt: skip
        ax.set_xticks(range(len(axes)), names)
        ax.xaxis.tick_top()
        ax.set(xlim=(-0.1, len(axes) - 0.45), ylim=(-0.06, 1.06), yticks=[])
        ax.tick_params(length=0, labelcolor=plots.INK)
        ax.spines[:].set_visible(False)
        ax.grid(False)
    return out.getvalue()


class _Axis:
    """Values as heights from 0 to 1, and what stands beside them: numbers by size, others in the order of their names."""

    def __init__(self, values: list[Any], log: bool, upside_down: bool = False):
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        if numbers and len(set(values)) > 1:
            scale = math.log if log else float
            low, high = scale(min(values)), scale(max(values))
            self.heights = [(scale(value) - low) / (high - low) for value in values]
            distinct = sorted(set(values))
            shown = distinct if len(distinct) <= 4 else [distinct[0], distinct[-1]]
            self.ticks = [((scale(value) - low) / (high - low), f"{value:.4g}") for value in shown]
        else:
            names = list(dict.fromkeys(map(str, sorted(values, key=str))))
            place = {name: (i + 0.5) / len(names) for i, name in enumerate(names)}
            self.heights = [place[str(value)] for value in values]
            self.ticks = [(height, plots.shorten(name, 14)) for name, height in place.items()]
        if upside_down:  # the best on top
            self.heights = [1 - height for height in self.heights]
            self.ticks = [(1 - height, text) for height, text in self.ticks]


def finding(report: dict) -> str:
    """What the search found, in a sentence or two."""
    best, start, monitor = report["best"], report["start"], report["monitor"]
    if best is None:
        return "No trial is complete, so there is no best one."
    told = f"Trial {best['trial']} is the best: {monitor} {best['score']:.4g}."
    if start is None:
        return f"{told} The config itself was no complete trial, so there is nothing to compare it with."
    if start["trial"] == best["trial"]:
        return f"{told} Those are the settings of the config itself: the search found none that are better."
    return (
        f"{told} The config itself has {start['score']:.4g} (trial {start['trial']}), so the search found better settings, by "
        f"{abs(best['score'] - start['score']):.2g} on the validation split."
    )


class SearchView(ReportView):
    """The view of a report of `nlp_suite.search`."""

    def headline(self, report: dict) -> list[Tile]:
        counts = [
            (state, sum(t["state"] == state for t in report["trials"])) for state in ("complete", "pruned", "failed")
        ]
        tiles = [
            Tile(
                "Trials",
                str(len(report["trials"])),
                ", ".join(f"{count} {state}" for state, count in counts if count) + f", {duration(report['seconds'])}",
            )
        ]
        if best := report["best"]:
            tiles.insert(
                0, Tile(f"Best {report['monitor']}", f"{best['score']:.4g}", f"trial {best['trial']}, optimistic")
            )
            figures = best["test"]["figures"] if best["test"] and best["test"]["split"] == "test" else {}
            tiles += [
                Tile(f"Test {name}", figure["written"], f"trial {best['trial']}")
                for name, figure in list(figures.items())[:2]
                if figure["written"]
            ]
        return tiles

    def sections(self, report: dict) -> list[Section]:
        drawn = [trial for trial in report["trials"] if trial["score"] is not None]
        pictures = [picture(score_by_trial(report), "score by trial")] if drawn else []
        if report["importance"]:
            pictures.append(picture(importances(report), "importance of the settings"))
        parts = [Section("What it found", columns(*pictures), finding(report))]
        if len(drawn) > 1:
            lead = (
                "A line is a trial: through its settings to its score, the better the higher and darker. The best one is set "
                "apart; those that ended early are dashed; the lowest score stands for all that are as bad or worse."
            )
            parts.append(
                Section("Settings and scores", picture(parallel_coordinates(report), "parallel coordinates"), lead)
            )
        return [*parts, Section("Trial by trial", table(*self._table(report)))]

    def _table(self, report: dict) -> tuple[list, list]:
        keys = list(dict.fromkeys(key for trial in report["trials"] for key in trial["settings"]))
        rows = []
        for trial in report["trials"]:
            number = str(trial["number"])
            is_best = report["best"] is not None and trial["number"] == report["best"]["trial"]
            score = "–" if trial["score"] is None else f"{trial['score']:.5g}"
            state = (
                trial["state"]
                if not trial["reason"]
                else Html(f'<span title="{escape(trial["reason"])}">{escape(trial["state"])}</span>')
            )
            rows.append([
                Html(f"<b>{number}, best</b>") if is_best else number, state, score, duration(trial["seconds"]).replace(" ", "\u00a0"),
                str(trial["intervals"]), *(_written(trial["settings"].get(key)) for key in keys),
            ])  # fmt: skip
        return ["trial", "", report["monitor"], "time", "intervals", *keys], rows

    def terminal(self, report: dict) -> Any:
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        summary = summary_table([(tile.name, tile.value, tile.remark) for tile in self.headline(report)])
        listed = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("trial", "", report["monitor"], "time"):
            listed.add_column(name, justify="right" if name else "left", no_wrap=True)
        listed.add_column("settings")
        for trial, row in zip(report["trials"], self._table(report)[1]):
            settings = ", ".join(f"{key.split('.')[-1]} {_written(v)}" for key, v in trial["settings"].items())
            best = report["best"] is not None and trial["number"] == report["best"]["trial"]
            cells = (str(trial["number"]), trial["state"], *row[2:4], settings)
            listed.add_row(*map(Text, cells), style="bold" if best else "")
        sentences = [finding(report), *report["remarks"]]
        if report["best"]:
            sentences.append(f"its config: {report['best']['config']}")
        return Group(summary, "", listed, *map(Text, sentences))


def _written(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
