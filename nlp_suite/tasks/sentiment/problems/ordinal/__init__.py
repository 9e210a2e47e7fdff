"""Ordinal classification: a text to one of several ordered labels, such as stars, where near is better than far."""

from typing import TYPE_CHECKING, Any

from nlp_suite.tasks.sentiment import SentimentTask

if TYPE_CHECKING:
    from nlp_suite.evaluation.report import ReportView


class OrdinalTask(SentimentTask):
    """Classification by ordered labels: one number a text, and thresholds between the labels (`OrderedLogits`).

    All else is as with labels without an order: answers, signatures, calibration.

    Args:
        **settings: see `SentimentSettings`.
    """

    title = "ordinal classification"
    model_kind = "ordinal classifier"
    corpus_kind = "ordered"
    defaults = {"training": {"monitor": "val_loss"}}  # noqa: RUF012
    metric_names = (*SentimentTask.metric_names, "mae")
    page_form = "ordinal"

    @classmethod
    def remarks(cls, experiment, labels) -> list[str]:
        return []  # one number a text suffices

    def head(self, backbone, assets, **settings) -> Any:
        from nlp_suite.tasks.sentiment.problems.ordinal.network import OrdinalModel

        return OrdinalModel(backbone, len(assets.labels), **settings)

    def start_weights(self, model, text, store) -> list[str]:
        """See `SentimentTask.start_weights`; the thresholds begin where the shares of the labels put them."""
        import numpy as np

        model.classifier.set_shares(np.bincount(store.labels, minlength=model.settings["classes"]))
        return super().start_weights(model, text, store)

    def metrics(self, labels) -> list:
        """Those of labels without an order, and the mean distance of answer and truth, in labels."""
        from nlp_suite.tasks.sentiment.problems.ordinal.metrics import MeanDistance

        return [*super().metrics(labels), MeanDistance()]

    def measure(self, run, split, stores) -> dict:
        """See `classification_report`, with what `ordinal_numbers` adds."""
        from nlp_suite.tasks.sentiment.problems.ordinal.measure import ordinal_numbers

        report = super().measure(run, split, stores)
        return {**report, **ordinal_numbers(report["confusion_matrix"])}

    def baselines(self, run, split, stores, by_row) -> dict:
        from nlp_suite.tasks.sentiment.baseline import baselines

        return baselines(run.labels, stores["train"], stores[split], by_row, ordered=True)

    def report_view(self) -> "ReportView":
        from nlp_suite.tasks.sentiment.problems.ordinal.measure import OrdinalView

        return OrdinalView()

    def card_facts(self, experiment) -> dict[str, str]:
        return {"Answer": "one of the labels, which have an order", **super().card_facts(experiment)}
