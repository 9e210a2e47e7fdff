"""How the report of a multi-label classifier is shown: headline, page sections, terminal table."""

from typing import Any

from nlp_suite.evaluation import plots
from nlp_suite.evaluation.number_format import share
from nlp_suite.evaluation.page import Html, Section, Tile, bar, escape, excerpt, table
from nlp_suite.evaluation.report import ReportView, summary_table

COLUMNS = ("precision", "recall", "F1", "average precision", "threshold", "examples")


class MultiLabelView(ReportView):
    """F1 of all labels and of each, and the texts with the most wrong labels."""

    curves = ("loss", "micro_f1")

    def headline(self, report: dict) -> list[Tile]:
        low, high = report["micro_f1_interval"]
        per_text = report["labels_per_text"]
        return [
            Tile("Micro F1", f"{report['micro']['f1']:.4f}", f"{low:.3f} – {high:.3f} (95% interval)"),
            Tile("Macro F1", f"{report['macro']['f1']:.4f}", "mean over labels; 1 is perfect"),
            Tile(
                "Average precision", f"{report['macro']['average_precision']:.4f}", "mean over labels, at no threshold"
            ),
            Tile("Exact match", share(report["exact_match"]), "texts with all labels right"),
            Tile("Labels a text", f"{per_text['answered']:.2f}", f"answered; {per_text['true']:.2f} are true"),
        ]

    def compared(self, report: dict) -> dict:
        return {
            "micro F1": lambda figures: f"{figures['micro']['f1']:.4f}",
            "macro F1": lambda figures: f"{figures['macro']['f1']:.4f}",
            "average precision": lambda figures: f"{figures['macro']['average_precision']:.4f}",
        }

    def sections(self, report: dict) -> list[Section]:
        rows = []
        for label, row in report["per_class"].items():
            precision = f"{row['precision']:.3f}" if row["answered"] else "–"
            f1 = bar(row["f1"], f"{row['f1']:.3f}") if row["support"] or row["answered"] else "–"
            recall, average = (f"{row[key]:.3f}" if row["support"] else "–" for key in ("recall", "average_precision"))
            rows.append([label, precision, recall, f1, average, f"{row['threshold']:.3f}", f"{row['support']:,}"])
        for name in ("macro", "micro"):
            numbers = [f"{report[name][key]:.3f}" for key in ("precision", "recall", "f1", "average_precision")]
            rows.append([f"{name} average", *numbers, "", f"{report['examples']:,}"])
        lead = (
            "A label is given where its probability reaches its threshold; with 0.5 for all, micro F1 would be "
            f"{report['micro_f1_half']:.4f}."
        )
        parts = [Section("Which labels are found", table(["label", *COLUMNS], rows), lead)]
        return [*parts, _mistakes(report)] if report["mistakes"] else parts

    def terminal(self, report: dict) -> Any:
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        summary = summary_table([(tile.name, tile.value, tile.remark) for tile in self.headline(report)])
        by_label = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        by_label.add_column("label")
        for name in COLUMNS:
            by_label.add_column(name, justify="right")
        for label, row in report["per_class"].items():
            numbers = (f"{row[key]:.4f}" for key in ("precision", "recall", "f1", "average_precision", "threshold"))
            by_label.add_row(Text(plots.shorten(label, 40)), *numbers, f"{row['support']:,}")
        return Group(summary, "", by_label)


def _mistakes(report: dict) -> Section:
    items = []
    for mistake in report["mistakes"]:
        said, true = (", ".join(mistake[key]) or "no label" for key in ("predicted", "labels"))
        verdict = (
            f'<span class="verdict">answered <b class="said" dir="auto">{escape(said)}</b>, '
            f'is <b dir="auto">{escape(true)}</b> · example {mistake["index"]:,}</span>'
        )
        text = "" if mistake["text"] is None else excerpt(mistake["text"])
        items.append(f"<li>{verdict}{text}</li>")
    return Section("Texts with the most wrong labels", Html('<ol class="mistakes">\n' + "\n".join(items) + "\n</ol>"))
