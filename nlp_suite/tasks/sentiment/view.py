"""How a classification report is shown: headline, page sections, terminal table."""

from typing import Any, ClassVar

from nlp_suite.evaluation import plots
from nlp_suite.evaluation.number_format import share
from nlp_suite.evaluation.page import Html, Section, Tile, bar, columns, details, escape, excerpt, join, picture, table
from nlp_suite.evaluation.report import Figure, ReportView, summary_table

CURVES = ("loss", "accuracy")


def headline(report: dict) -> list[Tile]:
    """The numbers at the head of the page."""
    low, high = report["accuracy_interval"]
    tiles = [
        Tile("Accuracy", share(report["accuracy"]), f"{share(low, 1)} – {share(high, 1)} (95% interval)"),
        Tile("Macro F1", f"{report['macro']['f1']:.4f}", "mean over classes; 1 is perfect"),
        Tile("ROC-AUC", f"{report['roc_auc']:.4f}", "0.5 is guessing, 1 perfect")
        if report["roc_auc"] is not None
        else None,
        Tile("Calibration error", share(report["ece"]), _calibrated(report)),
        Tile("Cross-entropy", f"{report['cross_entropy']:.4f}", "nats an example; 0 is perfect"),
    ]
    return [tile for tile in tiles if tile]


def figures(report: dict) -> list[Figure]:
    """The numbers in which runs are compared."""
    return [
        Figure("accuracy", report["accuracy"], share, report["accuracy_interval"], highest=1),
        Figure("macro F1", report["macro"]["f1"], "{:.4f}".format, highest=1),
        Figure("ROC-AUC", report["roc_auc"], "{:.4f}".format, highest=1),
        Figure("cross-entropy", report["cross_entropy"], "{:.4f}".format),
        Figure("calibration error", report["ece"], share, highest=1),
    ]


def _calibrated(report: dict) -> str:
    calibration = report.get("calibration")
    if not calibration or calibration["temperature"] == 1:
        return "mean gap of confidence and accuracy (ECE)"
    return f"mean gap of confidence and accuracy (ECE); {share(calibration['ece_before'])} before calibration"


def _temperature(report: dict) -> str:
    """What was fitted on validation, and what it does; empty of a run without it."""
    if not (calibration := report.get("calibration")):
        return ""
    validation = calibration["validation"]
    where = f"fitted on {validation['rows']:,} validation texts"
    if calibration["temperature"] == 1:
        return f"Not calibrated: no temperature, {where}, makes the cross-entropy there lower beyond chance."
    numbers = "calibration error {} → {}, cross-entropy {:.4f} → {:.4f}"
    changes = (
        numbers.format(
            share(part["ece_before"]),
            share(part["ece_after"]),
            part["cross_entropy_before"],
            part["cross_entropy_after"],
        )
        for part in (calibration, validation)
    )
    here, there = changes
    return (
        f"The logits are divided by a temperature of {calibration['temperature']:.3g}, {where}. "
        f"Here: {here}. On validation: {there}."
    )


def sections(report: dict) -> list[Section]:
    """Classes, calibration and mistakes, as parts of the page."""
    parts = [_classes(report), _calibration(report)]
    if report["mistakes"]:
        parts.append(_mistakes(report))
    return parts


def _classes(report: dict) -> Section:
    matrix = report["confusion_matrix"]
    answers = dict(zip(report["labels"], (sum(column) for column in zip(*matrix))))
    rows = []
    for label, row in report["per_class"].items():
        precision = f"{row['precision']:.3f}" if answers[label] else "–"
        recall = f"{row['recall']:.3f}" if row["support"] else "–"
        f1 = bar(row["f1"], f"{row['f1']:.3f}") if row["support"] or answers[label] else "–"
        rows.append([label, precision, recall, f1, f"{row['support']:,}"])
    macro = report["macro"]
    rows.append(
        ["macro average", *(f"{macro[key]:.3f}" for key in ("precision", "recall", "f1")), f"{report['examples']:,}"]
    )
    by_class = table(["class", "precision", "recall", "F1", "examples"], rows, total=True)
    supports = {label: row["support"] for label, row in report["per_class"].items()}
    label, count = max(supports.items(), key=lambda pair: pair[1])
    baseline = (
        f"Always answering “{plots.shorten(label, 40)}” would be right in {share(count / report['examples'], 1)}."
    )
    drawing = picture(
        plots.confusion_matrix(report),
        "Confusion matrix: rows are true classes, columns predicted ones",
        "Counts; the depth of colour is the share of the row, that is of the true class.",
    )
    return Section(
        "Which classes are confused",
        join(drawing, by_class) if len(matrix) > 6 else columns(drawing, by_class),
        baseline,
    )


def _calibration(report: dict) -> Section:
    rows = [
        [
            f"{row['low']:.0%} – {row['high']:.0%}",
            share(row["confidence"], 1),
            share(row["accuracy"], 1),
            f"{row['count']:,}",
        ]
        for row in report["reliability"]
        if row["count"]
    ]
    calibration = picture(
        plots.reliability(report),
        "Reliability diagram: accuracy by confidence, and number of answers",
        "Above the diagonal the model is more often right than it says, below it less often. "
        f"Hollow points: fewer than {plots.FEW} answers.",
    )
    by_bin = table(["confidence bin", "confidence", "accuracy", "answers"], rows)
    if not report["roc"]:
        return Section("Can its confidence be trusted", columns(calibration, by_bin), _temperature(report))
    positive = plots.shorten(report["roc"]["positive"], 24)
    ranking = picture(
        plots.roc(report),
        f"ROC curve, area {report['roc_auc']:.4f}",
        f"How well the probability of “{positive}” ranks the two classes: area {report['roc_auc']:.4f}.",
    )
    both = join(columns(calibration, ranking), details("Reliability as a table", by_bin))
    return Section("Can its confidence be trusted", both, _temperature(report))


def _mistakes(report: dict) -> Section:
    wrong = report["examples"] - sum(row[i] for i, row in enumerate(report["confusion_matrix"]))
    items = []
    for mistake in report["mistakes"]:
        verdict = (
            f'<span class="verdict">answered <b class="said" dir="auto">{escape(mistake["predicted"])}</b> '
            f'with {escape(share(mistake["probability"]))}, is <b dir="auto">{escape(mistake["label"])}</b> '
            f"· example {mistake['index']:,}</span>"
        )
        text = "" if mistake["text"] is None else excerpt(mistake["text"])
        items.append(f"<li>{verdict}{text}</li>")
    return Section(
        "Most confident mistakes",
        Html('<ol class="mistakes">\n' + "\n".join(items) + "\n</ol>"),
        f"{wrong:,} of {report['examples']:,} answers are wrong; of these the model was surest.",
    )


def terminal(report: dict, tiles: list[Tile] | None = None) -> Any:
    """Tables for the terminal, as a rich renderable; `tiles` stand at its head in place of `headline`."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    summary = summary_table([(tile.name, tile.value, tile.remark) for tile in tiles or headline(report)])
    by_class = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    by_class.add_column("class")
    for name in ("precision", "recall", "F1", "examples"):
        by_class.add_column(name, justify="right")
    for label, row in report["per_class"].items():
        numbers = (f"{row[key]:.4f}" for key in ("precision", "recall", "f1"))
        by_class.add_row(Text(plots.shorten(label, 40)), *numbers, f"{row['support']:,}")
    return Group(summary, "", by_class)


class ClassificationView(ReportView):
    """How the report is shown on the page and on the terminal."""

    curves: ClassVar[tuple[str, ...]] = CURVES
    style = ""
    headline = staticmethod(headline)
    figures = staticmethod(figures)
    sections = staticmethod(sections)
    terminal = staticmethod(terminal)

    def compared(self, report: dict) -> dict:
        return {
            "accuracy": lambda figures: share(figures["accuracy"]),
            "macro F1": lambda figures: f"{figures['macro']['f1']:.4f}",
            "cross-entropy": lambda figures: f"{figures['cross_entropy']:.4f}",
        }
