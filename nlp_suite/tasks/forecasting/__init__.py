"""Forecasting of time series: numbers through the same recurrent, convolutional and attention backbones."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from nlp_suite.config import ComponentSettings, Experiment
from nlp_suite.data.calendar import check_calendar
from nlp_suite.data.series_history import KINDS
from nlp_suite.data.time_steps import Frequency
from nlp_suite.errors import ConfigError, DataError
from nlp_suite.predictor import AnswerOptions
from nlp_suite.registry import BACKBONES, TASKS
from nlp_suite.task import Assets, Batches, Task
from nlp_suite.tasks.forecasting.inputs import NetworkInputs
from nlp_suite.tasks.forecasting.intervals import width_of
from nlp_suite.tasks.forecasting.settings import ForecastingSettings

SAMPLED = 4096  # training windows at most, of which a scale over the training split is taken
CALIBRATED = 256  # windows of the validation split that are asked at once for the width of intervals


@TASKS.register(ForecastingSettings)
class ForecastingTask(Task):
    """Forecasts of the next steps of series, see the [README of the tasks](../README.md)."""

    title = "forecasting of time series"
    model_kind = "forecaster"
    how_to_ask = "ask it with nlp-suite forecast"
    corpus_kind = "series"
    default_recipe: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "backbone": {"name": "gru", "embedding_size": 16, "units": 32, "bidirectional": False},
        "training": {"epochs": 20, "learning_rate": 5e-3, "clip_norm": 1.0, "patience": 5},
    }
    loss_metric = "scaled_loss"
    metric_names = ("scaled_loss", "scaled_mae")
    predicts = False
    page_form = "forecast"
    card_limits = (
        "It continues what it has seen: a change of level, season or trend that the training data do not hold is not foreseen.",
        "Intervals hold as often as in the backtest of its report only where the future is like the past.",
    )

    @classmethod
    def import_network(cls) -> None:
        import nlp_suite.tasks.forecasting.network  # noqa: F401

    def check(self, experiment: Experiment) -> None:
        backbone, task = experiment.backbone, self.settings
        if backbone.name in ("bag", "preset", "preset_decoder") or not backbone.returns_sequence:
            allowed = ", ".join(
                name for name in ("rnn", "lstm", "gru", "cnn", "transformer") if name in BACKBONES.names()
            )
            raise ConfigError(
                f"backbone {backbone.name!r} reads tokens, and forecasting reads numbers (allowed: {allowed})"
            )
        if wrong := [key for key in ("word_dropout", "type_dropout") if getattr(backbone, key)]:
            raise ConfigError(f"backbone.{wrong[0]} is about tokens, and here numbers are read: leave it out")
        if backbone.init_from:
            raise ConfigError(
                "backbone.init_from starts from a language model, and here numbers are read: leave it out"
            )
        if task.history and experiment.training.distribution.name != "none":
            raise ConfigError(
                f"task.history carries a state from batch to batch, and training.distribution is "
                f"{experiment.training.distribution.name}: leave one of them out"
            )
        if task.calendar and experiment.data.source.name != "series":
            raise ConfigError("task.calendar reads the dates of a table: it needs data.source series")
        if backbone.max_tokens is not None and backbone.max_tokens < task.context:
            raise ConfigError(
                f"task.context {task.context}: the backbone has positions for {backbone.max_tokens} steps"
            )

    def model(self, backbone: ComponentSettings, assets: Assets) -> Any:
        from nlp_suite.tasks.forecasting.network import ForecastModel

        season = self.season(assets.facts)
        if self.settings.difference == "seasonal" and not 1 < season < self.settings.context:
            raise ConfigError(
                f"task.difference: seasonal needs a season of 2 steps or more within task.context {self.settings.context}; "
                f"task.season is {season} (auto knows those of months, quarters, weeks, days and hours)"
            )
        inputs = self.inputs(assets.facts)
        if inputs.calendar:
            check_calendar(inputs.calendar, inputs.frequency)
        encoder = BACKBONES.get(backbone.name)(vocabulary_size=None, **backbone.arguments())
        going_on = [key for key in ("max_horizon", "history") if getattr(self.settings, key)]
        if going_on and not encoder.carries_state:
            raise ConfigError(
                f"task.{going_on[0]} goes on from the state of a recurrent network in one direction: backbone {backbone.name} with "
                "these settings has none (allowed: rnn, lstm, gru with bidirectional: false)"
            )
        counts = {kind: len(names) for kind, names in inputs.covariates.items()}
        words = [len(known) for known in inputs.categories.values()]
        if empty := [name for name, known in inputs.categories.items() if not known]:
            raise ConfigError(f"data.source.static_categories: column {empty[0]!r} has no word; leave it out")
        model = ForecastModel(
            encoder, self.settings.context, self.settings.model_dump(exclude={"name"}), season, counts, words
        )
        model.build()
        return model

    def inputs(self, facts: Mapping[str, Any], horizon: int | None = None) -> NetworkInputs:
        """What the network reads of series of which these are the facts, for so many steps ahead; default: all that may be asked for."""
        task, frequency = self.settings, Frequency.parse(facts["frequency"])
        known, words = facts.get("covariates", {}), facts.get("categories", {})
        return NetworkInputs(task.reads, horizon or task.reach, known, task.calendar, frequency, words)

    def season(self, facts: Mapping[str, Any]) -> int:
        """Steps of a season; 1: none is known."""
        season = self.settings.season
        return int(facts.get("season", 1)) if season == "auto" else int(season)

    def start_weights(self, model: Any, text: Any, store: Any) -> list[str]:
        lines, task = [], self.settings
        if task.transform == "log" and len(store.values) and np.nanmin(store.values) < 0:
            lowest = float(np.nanmin(store.values))
            raise DataError(
                f"task.transform: log needs values from 0 on, and the training split has {lowest:g}; leave it out"
            )
        if task.output == "negative_binomial":
            known = np.asarray(store.values)[np.isfinite(store.values)]
            if len(wrong := known[(known < 0) | (known != np.round(known))]):
                raise DataError(
                    f"task.output: negative_binomial needs counts, and the training split has {wrong[0]:g}; take gaussian or "
                    "quantiles"
                )
        if model.scaling.fitted is not None:
            from nlp_suite.tasks.forecasting.fitting import fit_scale

            middle, spread = fit_scale(model, self.windows(store, max(SAMPLED * task.context // task.reads, 1), 0))
            model.scaling.fitted.assign([middle, spread])
            lines.append(f"scale of the training split: {middle:.4g} and {spread:.4g}")
        for kind, layer in model.covariates.items():
            layer.fit(np.asarray(getattr(store, kind)))
        return lines

    def loss(self) -> Any:
        from nlp_suite.tasks.forecasting.fitting import ForecastLoss

        return ForecastLoss(self.settings)

    def metrics(self, labels: Sequence[str]) -> list[Any]:
        import keras

        from nlp_suite.tasks.forecasting.fitting import absolute_errors_of, losses_of

        functions = {"scaled_loss": losses_of(self.settings), "scaled_mae": absolute_errors_of(self.settings)}
        return [keras.metrics.MeanMetricWrapper(function, name=name) for name, function in functions.items()]

    def windows(self, store: Any, rows: int, seed: int | None, stride: int = 1, horizon: int | None = None) -> Any:
        """Windows of a store as the settings say, see `SeriesWindows`; by default of the horizon that is trained."""
        from nlp_suite.tasks.forecasting.windows import SeriesWindows

        inputs = self.inputs_of(store, horizon or self.settings.horizon)
        return SeriesWindows(store, inputs, rows, seed, stride, self.least)

    def inputs_of(self, store: Any, horizon: int) -> NetworkInputs:
        """As `inputs`, of the series of a store."""
        facts = {"frequency": str(store.frequency), "covariates": store.covariates, "categories": store.categories}
        return self.inputs(facts, horizon)

    @property
    def least(self) -> int:
        """Steps before a cut-off, at least, where a split begins with its series."""
        return 1 if self.settings.short_series == "pad" else self.settings.context

    def training_batches(
        self, model: Any, stores: Mapping[str, Any], labels: Sequence[str], training: Any
    ) -> tuple[Batches, Batches]:
        if self.settings.history:
            from nlp_suite.tasks.forecasting.segments import segment_batches

            return segment_batches(self, model, stores, training.batch_size, training.seed)

        def of(split: str, seed: int | None) -> Batches:
            windows = self.windows(stores[split], training.batch_size, seed)
            full = training.batch_size * self.settings.horizon

            def batch(n: int) -> tuple[Any, ...]:
                inputs, targets, known = windows[n % windows.steps_per_epoch if seed is None else n]
                return inputs, targets, known / np.float32(full)

            series = len(stores[split])
            return Batches(batch, windows.steps_per_epoch, f"{windows.count:,} windows of {series:,} series")

        return of("train", training.seed), of("validation", None)

    def after_training(self, run: Any, stores: Mapping[str, Any]) -> dict[str, Any]:
        """See `Task.after_training`: how wide intervals must be on the validation split."""
        if self.settings.output in ("point", "negative_binomial") or self.settings.calibration == "none":
            return {}
        from nlp_suite.tasks.forecasting.fitting import fit_intervals

        windows = self.windows(stores["validation"], CALIBRATED, None, self.settings.cutoff_stride)
        fitted = fit_intervals(run.model(), self.settings, windows) if windows.count else {}
        return {"intervals": fitted} if fitted else {}

    def measure(self, run: Any, split: str, stores: Mapping[str, Any]) -> dict[str, Any]:
        from nlp_suite.tasks.forecasting.measure import measure

        return measure([run], split, stores)

    def measure_together(self, runs: Sequence[Any], split: str, stores: Mapping[str, Any]) -> dict[str, Any]:
        from nlp_suite.tasks.forecasting.measure import measure

        return measure(runs, split, stores)

    def baselines(
        self, run: Any, split: str, stores: Mapping[str, Any], by_row: Any
    ) -> Mapping[str, Mapping[str, Any]]:
        from nlp_suite.tasks.forecasting.baseline import baselines

        return baselines(run, split, stores, by_row)

    def report_view(self) -> Any:
        from nlp_suite.tasks.forecasting.view import ForecastingView

        return ForecastingView()

    def predictor(self, model: Any, assets: Assets, experiment: Experiment) -> Any:
        from nlp_suite.tasks.forecasting.predictor import NetworkForecaster

        return NetworkForecaster(model, self.inputs(assets.facts), width_of(assets))

    def export_predictor(self, signatures: Any) -> Any:
        from nlp_suite.tasks.forecasting.predictor import SavedModelForecaster

        source = signatures.experiment().data.source
        names = {kind: getattr(source, f"{kind}_covariates", []) for kind in KINDS}
        frequency = getattr(source, "frequency", "auto")  # found once and written out, see `freeze_data_defaults`
        words: dict[str, list[str]] = {name: [] for name in getattr(source, "static_categories", [])}
        facts = {"frequency": "step" if frequency == "auto" else frequency, "covariates": names, "categories": words}
        levels = () if self.settings.output == "point" else self.settings.quantiles
        return SavedModelForecaster(signatures, levels, self.inputs(facts))

    def freeze_data_defaults(self, run: Any) -> Experiment:
        """The run's experiment with the season and the frequency that its data have."""
        experiment, facts = run.experiment, run.assets.facts
        task = experiment.task.model_copy(update={"season": self.season(facts)})
        source = experiment.data.source
        if source.name == "series":
            source = source.model_copy(update={"frequency": facts["frequency"]})
        data = experiment.data.model_copy(update={"source": source})
        return experiment.model_copy(update={"task": task, "data": data})

    @classmethod
    def answer_columns(
        cls, labels: Sequence[str], for_people: bool, options: AnswerOptions | None = None
    ) -> dict[str, Any]:
        """See `Task.answer_columns`: the forecast."""
        return {"forecast": lambda answer: str(answer["forecast"]) if for_people else answer["forecast"]}

    def signatures(self, model: Any, predictor: Any, xla: bool = False) -> Any:
        from nlp_suite.tasks.forecasting.signatures import ForecastingSignatures

        return ForecastingSignatures(model, predictor)

    def parts(self, model: Any, assets: Assets) -> list:
        from nlp_suite.tasks.forecasting.parts import parts

        return parts(model, self.inputs(assets.facts).shapes, width_of(assets))

    def check_inputs(self, run: Any, texts: Sequence[bytes]) -> Any:
        draw = np.random.default_rng(0)
        shapes = self.inputs(run.assets.facts).shapes
        drawn = {name: draw.uniform(1, 100, (8, *shape)).astype("float32") for name, shape in shapes.items()}
        if "categories" in shapes:
            counts = [len(words) for words in run.assets.facts["categories"].values()]
            drawn["categories"] = draw.integers(1, np.array(counts) + 1, (8, len(counts))).astype("float32")
        return {**drawn, "mask": np.ones_like(drawn["values"])}

    def card_facts(self, experiment: Experiment) -> dict[str, str]:
        task = self.settings
        steps = f"the next {task.horizon} steps"
        if task.max_horizon:
            steps += f", and up to {task.reach} from its own forecasts"
        facts = {"Reads": f"the last {task.reads} steps of a series", "Forecasts": steps}
        named = [
            f"{name} ({kind})" for kind in KINDS for name in getattr(experiment.data.source, f"{kind}_covariates", ())
        ]
        named += [f"{name} (category)" for name in getattr(experiment.data.source, "static_categories", ())]
        beside = [*named, *(f"{feature} (calendar)" for feature in task.calendar)]
        return {**facts, **({"Beside its values": ", ".join(beside)} if beside else {})}
