"""Multi-label classification: a text to any number of labels, each with a probability and a threshold of its own."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nlp_suite.errors import ConfigError, RequestError
from nlp_suite.predictor import Predictor
from nlp_suite.tasks.sentiment import SentimentTask, reads_pairs

if TYPE_CHECKING:
    from nlp_suite.evaluation.report import ReportView
    from nlp_suite.export.classifier_head import ClassifierHead
    from nlp_suite.export.signatures import Signatures


class MultiLabelTask(SentimentTask):
    """Classification with any number of labels a text: a sigmoid a label, and thresholds that are chosen on validation.

    Args:
        **settings: see `SentimentSettings`.
    """

    title = "multi-label classification"
    model_kind = "multi-label classifier"
    corpus_kind = "multi_labelled"
    honours = frozenset({"data.labels", "data.deduplicate", "training.features"})
    defaults = {"training": {"monitor": "val_loss"}}  # noqa: RUF012
    metric_names = ("cross_entropy", "micro_f1", "macro_f1")
    card_limits = (
        "Trained on one kind of text: expect less on other domains, lengths and languages than those of its training data.",
        "Probabilities are the network's own, each label's for itself; they do not add up to 1.",
        "A text may get no label at all, and labels that exclude one another.",
        "It may repeat biases of its training data; do not let it alone decide about people.",
    )
    page_form = "labels"
    quantizes = False

    @classmethod
    def remarks(cls, experiment, labels) -> list[str]:
        return []  # those of `SentimentTask` are on classes that exclude one another

    def loss(self) -> Any:
        """Binary cross-entropy of the logits, the mean over the labels."""
        import keras

        return keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=self.settings.label_smoothing)

    def counted_classes(self, labels, model) -> tuple[Any, int]:
        return labels, labels.shape[1]

    def metrics(self, labels) -> list:
        """The loss without label smoothing, and F1 at a probability of 0.5; the report's are at the thresholds."""
        import keras

        from nlp_suite.tasks.sentiment.problems.multi_label.metrics import MultiLabelF1

        return [
            keras.metrics.BinaryCrossentropy(name="cross_entropy", from_logits=True),
            MultiLabelF1(len(labels), "micro"),
            MultiLabelF1(len(labels), "macro"),
        ]

    def training_batches(self, model, stores, labels, training) -> Any:
        """See `Task.training_batches`.

        Raises:
            ConfigError: a threshold of a label that does not exist.
        """
        given = self.settings.thresholds
        wrong = sorted(set(given) - set(labels)) if isinstance(given, dict) else []
        if wrong:
            raise ConfigError(f"task.thresholds names {wrong}; the labels are {', '.join(labels)}")
        return super().training_batches(model, stores, labels, training)

    def targets(self, store, rows) -> Any:
        """Which labels a row has, 0 or 1, float32 `[B, C]`."""
        return store.labels[rows].astype("float32")

    def after_training(self, run, stores) -> dict:
        """See `Task.after_training`: `thresholds`, chosen on validation unless the settings give them."""
        from nlp_suite.tasks.sentiment.problems.multi_label.measure import fit_thresholds

        return fit_thresholds(run, stores["validation"])

    def measure(self, run, split, stores) -> dict:
        from nlp_suite.tasks.sentiment.problems.multi_label.measure import measure

        return measure(run, split, stores)

    def baselines(self, run, split, stores, by_row) -> dict:
        from nlp_suite.tasks.sentiment.problems.multi_label.baseline import baselines

        return baselines(run.labels, stores["train"], stores[split], by_row)

    def report_view(self) -> "ReportView":
        from nlp_suite.tasks.sentiment.problems.multi_label.view import MultiLabelView

        return MultiLabelView()

    def predictor(self, model, assets, experiment) -> Predictor:
        from nlp_suite.tasks.sentiment.problems.multi_label.predictor import NetworkMultiLabel
        from nlp_suite.tasks.sentiment.problems.multi_label.thresholds import thresholds_of

        thresholds = thresholds_of(self.settings.thresholds, assets)
        return NetworkMultiLabel(model, assets.text, assets.labels, thresholds, pairs=reads_pairs(assets))

    def export_predictor(self, signatures) -> Predictor:
        from nlp_suite.tasks.sentiment.problems.multi_label.predictor import SavedModelMultiLabel

        return SavedModelMultiLabel(signatures)

    @classmethod
    def chosen(cls, labels, options) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """See `Task.chosen`: thresholds are taken in place of the model's own; there is no one answer for the others."""
        from nlp_suite.tasks.sentiment.problems.multi_label.predictor import chooser

        if options.given != ["thresholds"]:
            raise RequestError(
                f"a {cls.model_kind} has no one answer, so it takes thresholds only, not {options.given[0]}"
            )
        return chooser(labels, options.thresholds)

    @classmethod
    def answer_columns(cls, labels, for_people, options=None) -> dict[str, Callable[[dict], Any]]:
        """See `Task.answer_columns`; for people only the labels that are given, with their probabilities.

        Between labels stands a comma, or what no label has in place of it.
        """
        separator = next(
            (mark for mark in (", ", " | ", "; ") if not any(mark.strip() in label for label in labels)), "\t"
        )

        def given(answer):
            return ", ".join(f"{label} {answer['probabilities'][label]:.4f}" for label in answer["labels"])

        def of_label(label):
            return lambda answer: round(answer["probabilities"][label], 6)

        if for_people:
            return {"labels and probabilities": given}
        columns = {"labels": lambda answer: separator.join(answer["labels"])}
        return columns | {f"p({label})" if label in columns else label: of_label(label) for label in labels}

    def classifier_head(self, run, model) -> "ClassifierHead":
        from nlp_suite.tasks.sentiment.head import head_of
        from nlp_suite.tasks.sentiment.problems.multi_label.thresholds import DEFAULT, thresholds_of

        thresholds = dict(zip(run.labels, thresholds_of(self.settings.thresholds, run.assets), strict=True))
        others = [f"{label} {value:g}" for label, value in thresholds.items() if value != DEFAULT]
        unsaid = [f"labels are given from these probabilities on: {', '.join(others)}"] if others else []
        return head_of(model, run.labels, "multi_label_classification", unsaid)

    def signatures(self, model, predictor, xla=False) -> "Signatures":
        from nlp_suite.tasks.sentiment.problems.multi_label.signatures import MultiLabelSignatures

        return MultiLabelSignatures(model, predictor)

    def card_facts(self, experiment) -> dict[str, str]:
        return {"Answer": "any number of the labels", **super().card_facts(experiment)}
