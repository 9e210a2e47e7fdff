"""Reading texts in their order with a network that adapts to them, and settings that suit the validation split."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from nlp_suite.data.windows import ShuffledWindows, SlidingWindows, Streams, window_arrays
from nlp_suite.errors import RunError
from nlp_suite.progress import track
from nlp_suite.tasks.language_model.adaptation import CHOSEN_ON, CacheSettings, DynamicSettings
from nlp_suite.tasks.language_model.adaptation.cache import ContinuousCache, mixed_nll
from nlp_suite.tasks.language_model.adaptation.dynamic import Adapting, DynamicSteps, SquaredGradients
from nlp_suite.tasks.shared.compiled import compiled

THETAS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # over the mean squared length of the features
SHARES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
RMS_RATES, SGD_RATES = (3e-5, 1e-4, 3e-4, 1e-3), (0.03, 0.1, 0.3, 1.0)
DECAYS = (0.0, 1e-3, 1e-2)
STATISTICS_BATCHES = 100


@dataclass(frozen=True)
class Texts:
    """Tokens that are read in their order.

    Attributes:
        tokens: ids `[N]`.
        documents: where documents begin, and the end.
    """

    tokens: NDArray[Any]
    documents: NDArray[Any]

    @classmethod
    def of(cls, store: Any, limit: int | None = None) -> "Texts":
        """Those of a store, or its first `limit`."""
        documents = store.documents()
        if limit is not None:
            documents = np.unique(np.minimum(documents, documents[0] + limit))
        return cls(store.flat(), documents)


class Reader:
    """A language model that reads texts one window at a time, each token after all that stand before it.

    The cache and what dynamic evaluation has learned go on from one document to the next, as in the papers; the state of the
    network and its windows begin anew with each.

    Args:
        model: `LanguageModel`; its state is carried by one row afterwards.
        task: settings of the task.
        kind: `"stream"`, `"windows"` or `"documents"`, as in training.

    Attributes:
        carries: whether the network's state goes on from window to window.
        window: tokens of a window of training.
    """

    def __init__(self, model: Any, task: Any, kind: str):
        self.model, self._task, self._kind = model, task, kind
        self.carries, self.window = kind == "stream", task.window
        self._step = compiled(model.features_and_nll, model)

    def windows(self, texts: Texts, segment: int | None = None) -> Streams | SlidingWindows:
        """Windows of one row that predict every token once, `segment` at a time; default: as in evaluation."""
        window, starts = self.window, self.model.always_starts
        if self.carries:
            return Streams(texts.documents, 1, segment or window)
        context = int(starts) if self._kind == "documents" else self._task.context_tokens
        if segment is not None:
            context = max(window - segment, int(starts))
        return SlidingWindows(texts.documents, 1, window, context, starts)

    def features(self, texts: Texts, what: str) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
        """Of every window the features `[T, D]` before its predicted tokens, these `[T]`, and their nll `[T]`."""
        windows, state = self.windows(texts), None
        fresh = self.model.initial_state(1) if self.carries else None
        for n in track(range(windows.steps_per_epoch), what, windows.steps_per_epoch, "windows"):
            inputs = window_arrays(texts.tokens, windows[n], self.model.start_token)
            if fresh is not None:
                state = fresh if inputs["reset"][0] else state
                features, nll, state = self._step(inputs["tokens"], inputs["targets"], state)
            else:
                features, nll, _ = self._step(inputs["tokens"], inputs["targets"])
            counted = inputs["weights"][0] > 0
            numbers = (ops.convert_to_numpy(ops.cast(features, "float32"))[0], ops.convert_to_numpy(nll)[0])
            yield numbers[0][counted], inputs["targets"][0][counted], numbers[1][counted]

    def nll(self, texts: Texts, what: str) -> NDArray:
        """Of every token, `[N]`, without adapting."""
        return np.concatenate([nll for _, _, nll in self.features(texts, what)])

    def with_cache(self, texts: Texts, settings: CacheSettings, what: str) -> NDArray:
        """Of every token, `[N]`, with a cache whose settings are complete."""
        cache, result = None, []
        for features, targets, nll in self.features(texts, what):
            cache = cache or ContinuousCache(settings.size, features.shape[1])
            cached = cache.read(features, targets, [settings.theta or 0.0])[0]
            result.append(mixed_nll(nll, cached, settings.share or 0.0))
        return np.concatenate(result)

    def choose_cache(self, texts: Texts, settings: CacheSettings) -> CacheSettings:
        """Settings with what they lack: those with the least loss on the first 20,000 tokens of `texts`."""
        windows = list(self.features(texts, "choosing the cache"))
        length = np.mean(np.concatenate([(features**2).sum(axis=1) for features, _, _ in windows]))
        thetas = [factor / length for factor in THETAS] if settings.theta is None else [settings.theta]
        shares = SHARES if settings.share is None else [settings.share]
        cache = ContinuousCache(settings.size, windows[0][0].shape[1])
        cached = np.concatenate([cache.read(features, targets, thetas) for features, targets, _ in windows], axis=1)
        nll = np.concatenate([nll for _, _, nll in windows])
        losses = np.array([mixed_nll(nll, cached, share).sum(axis=1) for share in shares])  # [shares, thetas]
        share, theta = np.unravel_index(np.nanargmin(losses), losses.shape)
        return settings.model_copy(update={"theta": float(f"{thetas[theta]:.4g}"), "share": shares[share]})

    def steps(self, settings: DynamicSettings, train: Texts | None, rows: int) -> "Dynamic":
        """What dynamic evaluation needs besides its rate and decay.

        Args:
            settings: of dynamic evaluation.
            train: the training split, of whose gradients `method: rms` takes the mean square.
            rows: of the batches that these are taken of.

        Raises:
            RunError: there is no training split, or the network has no weights that are trained.
        """
        if not self.model.trainable_variables:
            raise RunError("dynamic evaluation changes weights that are trained, and this model has none")
        scales = None
        if settings.method == "rms":
            if train is None:
                raise RunError(
                    "dynamic evaluation with method: rms reads gradients of the training split, and the run's own data "
                    "cannot be read: give method: sgd"
                )
            scales = self._gradient_scales(train, rows)
        return Dynamic(self, settings, scales)

    def _gradient_scales(self, train: Texts, rows: int) -> list[NDArray]:
        """Root mean square of the gradient of every weight, over at most 100 batches spread over the training split."""
        window, starts = self.window, self.model.always_starts
        windows: Streams | ShuffledWindows
        if self.carries:
            windows = Streams(train.documents, rows, window)
        else:
            windows = ShuffledWindows(train.documents, rows, window, 0, starts)
        count = min(STATISTICS_BATCHES, windows.steps_per_epoch)
        optimizer = SquaredGradients()
        learner = Adapting(self.model, rows, window).learn(optimizer)
        places = np.linspace(0, windows.steps_per_epoch, count, endpoint=False).astype(int)
        for n in track(places, "measuring gradients", count, "batches"):
            inputs = window_arrays(train.tokens, windows[int(n)], self.model.start_token)
            learner.train_on_batch({**inputs, "reset": np.ones(rows, bool)})
        return optimizer.root_mean()


class Dynamic:
    """Dynamic evaluation of a reader's network, which has its trained weights again after every call.

    Args:
        reader: the reader.
        settings: rate and decay may be absent.
        scales: see `DynamicSteps`.
    """

    def __init__(self, reader: Reader, settings: DynamicSettings, scales: list[NDArray] | None):
        self._reader, self.settings, self._segment = reader, settings, settings.segment
        if reader.carries:
            reader.model.carry(1, 1)
        self._optimizer = DynamicSteps(scales)
        self._optimizer.build(reader.model.trainable_variables)
        length = settings.segment if reader.carries else reader.window
        self._learner = Adapting(reader.model, 1, length).learn(self._optimizer)

    def nll(self, texts: Texts, settings: DynamicSettings, what: str) -> NDArray:
        """Of every token, `[N]`, before the network learns from it."""
        windows, result = self._reader.windows(texts, self._segment), []
        self._optimizer.begin(settings.learning_rate, settings.decay)
        try:
            for n in track(range(windows.steps_per_epoch), what, windows.steps_per_epoch, "segments"):
                inputs = window_arrays(texts.tokens, windows[n], self._reader.model.start_token)
                self._learner.train_on_batch(inputs)
                nll = ops.convert_to_numpy(self._learner.nll)[0]
                result.append(nll[inputs["weights"][0] > 0])
        finally:
            self._optimizer.begin(0.0, 0.0)
        return np.concatenate(result)

    def choose(self, texts: Texts) -> DynamicSettings:
        """Settings with what they lack: the rate with the least loss on `texts`, then the decay."""
        rates = SGD_RATES if self.settings.method == "sgd" else RMS_RATES
        chosen = self.settings.model_copy(update={"decay": self.settings.decay or 0.0})
        chosen = chosen if chosen.learning_rate else self._least(texts, chosen, "learning_rate", rates)
        return chosen if self.settings.decay is not None else self._least(texts, chosen, "decay", DECAYS)

    def _least(self, texts: Texts, settings: DynamicSettings, key: str, values: tuple[float, ...]) -> DynamicSettings:
        """The settings with one of some values of a key, the one with the least loss."""
        tried = [settings.model_copy(update={key: value}) for value in values]
        losses = [self.nll(texts, one, f"trying {key} {getattr(one, key):g}").sum() for one in tried]
        return tried[int(np.nanargmin(losses))]


@dataclass(frozen=True)
class Adapted:
    """How a run adapts: settings that are complete, and what reads texts with them.

    Attributes:
        reader: of the run's network.
        settings: name → settings.
        chosen: name → keys that were chosen on the validation split.
        dynamic: where it is among them.
    """

    reader: Reader
    settings: Mapping[str, Any]
    chosen: Mapping[str, list[str]]
    dynamic: Dynamic | None

    @classmethod
    def of_run(cls, run: Any, settings: Mapping[str, Any], stores: Mapping[str, Any]) -> "Adapted":
        """Chooses on the validation split what is not given.

        Args:
            run: the run.
            settings: of `LanguageModelAdaptation`.
            stores: by split; without `train` and `validation` nothing can be chosen.

        Raises:
            RunError: something is to be chosen, or gradients are to be measured, and the run's data are gone.
        """
        model = run.model()
        kind = "stream" if model.backbone.carries_state else "windows"
        if "train" in stores:
            kind = run.task.batching(model, stores["train"])
        if kind == "documents" and model.backbone.carries_state:
            kind = "stream"  # the same numbers, without padding
        reader = Reader(model, run.experiment.task, kind)
        complete, chosen, dynamic = {}, {}, None
        for name, given in settings.items():
            chosen[name] = [key for key, value in given if value is None]
            if chosen[name] and "validation" not in stores:
                raise RunError(
                    f"adapt {name}: {', '.join(chosen[name])} would be chosen on the validation split, and the run's own data "
                    "cannot be read: give them"
                )
            validation = stores.get("validation")
            if name == "dynamic":
                train = Texts.of(stores["train"]) if "train" in stores else None
                dynamic = reader.steps(given, train, run.experiment.training.batch_size)
                complete[name] = dynamic.choose(Texts.of(validation, CHOSEN_ON["dynamic"])) if chosen[name] else given
            else:
                complete[name] = (
                    reader.choose_cache(Texts.of(validation, CHOSEN_ON["cache"]), given) if chosen[name] else given
                )
        return cls(reader, complete, chosen, dynamic)

    def nll(self, texts: Texts, what: str) -> dict[str, NDArray]:
        """Of every token, `[N]`, by name of what adapts."""
        result = {}
        for name, settings in self.settings.items():
            if name == "dynamic":
                assert self.dynamic is not None
                result[name] = self.dynamic.nll(texts, settings, f"{what}, learning")
            else:
                result[name] = self.reader.with_cache(texts, settings, f"{what}, with the cache")
        return result
