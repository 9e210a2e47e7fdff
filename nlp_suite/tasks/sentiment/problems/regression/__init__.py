"""Regression: a text to a number, in the units of the training data."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nlp_suite.errors import ConfigError
from nlp_suite.predictor import Predictor
from nlp_suite.task import Task
from nlp_suite.tasks.sentiment import SentimentTask, reads_pairs

if TYPE_CHECKING:
    from nlp_suite.evaluation.report import ReportView
    from nlp_suite.export.classifier_head import ClassifierHead
    from nlp_suite.export.signatures import Signatures


class RegressionTask(SentimentTask):
    """Regression of a number on a text: the network is trained on standardised numbers, and answers in the user's units.

    Args:
        **settings: see `SentimentSettings`.
    """

    quantizes = False
    title = "text regression"
    model_kind = "regression model"
    corpus_kind = "rated"
    honours = frozenset({"data.deduplicate", "training.features"})
    defaults = {"training": {"monitor": "val_loss"}}  # noqa: RUF012
    default_recipe = {  # noqa: RUF012  # l2 needs the counts by label
        **SentimentTask.default_recipe,
        "backbone": {**SentimentTask.default_recipe["backbone"], "naive_bayes": False, "average": "sqrt"},
    }
    loss_metric = "unexplained"
    metric_names = ("mae", "rmse", "unexplained")
    card_limits = (
        "Trained on one kind of text: expect less on other domains, lengths and languages than those of its training data.",
        "Every text gets a number, also an empty one or one in another language; the model does not say how sure it is.",
        "Numbers beyond the range of its training data are guesses.",
        "It may repeat biases of its training data; do not let it alone decide about people.",
    )
    page_form = "regression"

    @classmethod
    def remarks(cls, experiment, labels) -> list[str]:
        return []  # those of `SentimentTask` are on classes that exclude one another

    def check(self, experiment) -> None:
        """See `Task.check`; what speaks of classes is refused."""
        if self.settings.label_smoothing:
            raise ConfigError("task.label_smoothing is for labels; task.problem: regression has none")
        if experiment.backbone.arguments().get("naive_bayes"):
            raise ConfigError("backbone.naive_bayes counts words by labels; task.problem: regression has none")
        super().check(experiment)

    def head(self, backbone, assets, **settings) -> Any:
        from nlp_suite.tasks.sentiment.problems.regression.network import RegressionModel

        facts = assets.facts
        return RegressionModel(backbone, mean=facts.get("mean", 0.0), deviation=facts.get("deviation", 1.0), **settings)

    def loss(self) -> Any:
        """Squared error of the standardised numbers: see `RegressionModel.compute_loss`."""
        import keras

        return keras.losses.MeanSquaredError()

    def metrics(self, labels) -> list:
        """Mean absolute error and root mean squared error in the user's units, and the share of variance left."""
        import keras

        from nlp_suite.tasks.sentiment.problems.regression.metrics import UnexplainedVariance

        return [
            keras.metrics.MeanAbsoluteError(name="mae"),
            keras.metrics.RootMeanSquaredError(name="rmse"),
            UnexplainedVariance(),
        ]

    def targets(self, store, rows) -> Any:
        """Numbers, float32 `[B, 1]`."""
        return store.labels[rows].astype("float32")[:, None]

    def measure(self, run, split, stores) -> dict:
        from nlp_suite.tasks.sentiment.problems.regression.measure import measure

        return measure(run, split, stores)

    def baselines(self, run, split, stores, by_row) -> dict:
        from nlp_suite.tasks.sentiment.problems.regression.baseline import baselines

        return baselines(stores["train"], stores[split], by_row)

    def report_view(self) -> "ReportView":
        from nlp_suite.tasks.sentiment.problems.regression.view import RegressionView

        return RegressionView()

    def predictor(self, model, assets, experiment) -> Predictor:
        from nlp_suite.tasks.sentiment.problems.regression.predictor import NetworkRegressor

        return NetworkRegressor(model, assets.text, [], pairs=reads_pairs(assets))

    def export_predictor(self, signatures) -> Predictor:
        from nlp_suite.tasks.sentiment.problems.regression.predictor import SavedModelRegressor

        return SavedModelRegressor(signatures)

    @classmethod
    def chosen(cls, labels, options) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return Task.chosen.__func__(cls, labels, options)  # type: ignore[attr-defined]  # takes none

    @classmethod
    def answer_columns(cls, labels, for_people, options=None) -> dict[str, Callable[[dict], Any]]:
        return {"value": lambda answer: f"{answer['value']:,.6g}" if for_people else answer["value"]}

    def classifier_head(self, run, model) -> "ClassifierHead":
        from nlp_suite.tasks.sentiment.head import head_of

        return head_of(model, ["value"], "regression")

    def signatures(self, model, predictor, xla=False) -> "Signatures":
        from nlp_suite.tasks.sentiment.problems.regression.signatures import RegressionSignatures

        return RegressionSignatures(model, predictor)

    def card_facts(self, experiment) -> dict[str, str]:
        return {"Answer": "a number in the units of the training data", **super().card_facts(experiment)}
