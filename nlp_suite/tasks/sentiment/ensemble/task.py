"""The variant of the sentiment task that a run of several classifiers has."""

from typing import TYPE_CHECKING, Any

import numpy as np

from nlp_suite.errors import ConfigError
from nlp_suite.export.load import open_run
from nlp_suite.tasks.sentiment import SentimentTask
from nlp_suite.training.run import make_task

if TYPE_CHECKING:
    from nlp_suite.evaluation.report import ReportView
    from nlp_suite.export.signatures import Signatures
    from nlp_suite.predictor import Predictor


class EnsembleTask(SentimentTask):
    """Classification by several classifiers together: what `nlp-suite ensemble` makes of runs, which is never trained.

    Args:
        **settings: see `SentimentSettings`; `members` has the weights.
    """

    title = "sentiment classification by an ensemble"
    model_kind = "ensemble of classifiers"
    quantizes = False

    @classmethod
    def remarks(cls, experiment, labels) -> list[str]:
        return []  # its members have had theirs

    def check(self, experiment) -> None:
        raise ConfigError(
            "task.members is for nlp-suite ensemble, which makes one run of several that are trained: such a run is not trained; "
            "leave task.members out"
        )

    def model(self, backbone, assets) -> Any:
        from nlp_suite.tasks.sentiment.ensemble.network import EnsembleModel

        return EnsembleModel(
            [make_task(experiment).model(experiment.backbone, own) for experiment, own in assets.members.values()]
        )

    def predictor(self, model, assets, experiment) -> "Predictor":
        from nlp_suite.tasks.sentiment.calibration import temperature_of
        from nlp_suite.tasks.sentiment.ensemble.predictor import EnsembleClassifier
        from nlp_suite.tasks.sentiment.threshold import threshold_of

        members: list[Any] = [
            make_task(member).predictor(network, own, member)
            for network, (member, own) in zip(model.members, assets.members.values(), strict=True)
        ]
        weights = [self.settings.members[name] for name in assets.members]
        return EnsembleClassifier(members, weights, temperature_of(assets), threshold_of(assets))

    def measure(self, run, split, stores) -> dict:
        """See `SentimentTask.measure`; with `members`: name → its weight and its own figures on the same rows.

        A remark says of which members the ensemble is not better outside the 95 % interval of its lead.
        """
        from nlp_suite.evaluation.baseline import remark
        from nlp_suite.tasks.sentiment.ensemble.measure import answers_of, members_alone
        from nlp_suite.tasks.sentiment.ensemble.predictor import log_mean
        from nlp_suite.tasks.sentiment.measure import measured

        predictor: Any = open_run(run, run.model())
        store = stores[split]
        answers = answers_of(predictor.members, store)  # [M, N, C]
        report = measured(run, store, log_mean(answers, predictor.weights))
        alone = members_alone(predictor, answers, np.array(store.labels), report["by_row"])
        members = dict(zip(run.assets.members, alone, strict=True))
        beside = {name: {"title": f"its member {name} alone", **figures} for name, figures in members.items()}
        said = remark({**report, "baseline": beside}, self.report_view().compared(report), self.model_kind)
        return {**report, "members": members, "remarks": [*report.get("remarks", ()), *([said] if said else ())]}

    def report_view(self) -> "ReportView":
        from nlp_suite.tasks.sentiment.ensemble.view import EnsembleView

        return EnsembleView()

    def card_facts(self, experiment) -> dict[str, str]:
        weights = ", ".join(f"{name} {weight:.3f}" for name, weight in self.settings.members.items())
        lengths = "each reads as much of a text as it was trained with"
        return {"Answer": f"weighted mean of the members' probabilities ({weights})", "Longest text": lengths}

    def signatures(self, model, predictor, xla=False) -> "Signatures":
        from nlp_suite.tasks.sentiment.ensemble.signatures import EnsembleSignatures

        return EnsembleSignatures(model, predictor)
