"""Translation: a split translated and compared with its references, in a report and after every checkpoint interval of training."""

import logging

import keras
import numpy as np

from nlp_suite.progress import say, track
from nlp_suite.tasks.shared.compiled import compiled
from nlp_suite.tasks.translation.predictor import TranslationPredictor
from nlp_suite.tasks.translation.report import corpus_bleu, translation_report
from nlp_suite.training.callbacks import averaged_weights

SEARCH_SETTINGS = ("beam_size", "length_penalty", "coverage_penalty", "no_repeat_ngram", "min_length")
LOGGER = logging.getLogger(__name__)
SHOWN_MAPS = 6  # translations shown with their attention


def measure(run, split: str, stores: dict) -> dict:
    """The translation report of a split; see `nlp_suite.tasks.translation.report.translation_report`.

    Translations are found with the search that the config sets; sources beyond the maximum length are cut, even where
    the config says that a request of that length is refused. With `by_row`, the translations.
    """
    store, settings = stores[split], run.task.settings
    model = run.model()
    predictor = truncating_predictor(model, run.text, run.target_text, settings)
    rows = np.arange(len(store))
    sources = [store.source.text(row) for row in rows]
    translated = predictor.translate_iter(sources)
    answers = list(track(translated, f"translating {split}", len(sources), "sentences"))
    nll, tokens, correct = teacher_forced(model, run.task.evaluation_batches(store, run.experiment.training))
    checkpoint = run.weights().name.removesuffix(".weights.h5")
    hypotheses = [answer["translation"] for answer in answers]
    report = translation_report(
        sources=sources,
        references=[store.target.text(row) for row in rows],
        hypotheses=hypotheses,
        nll=nll,
        tokens=tokens,
        correct=correct,
        truncated=sum(bool(answer["truncated"]) for answer in answers),
        search={"checkpoint": checkpoint, **{key: getattr(settings, key) for key in SEARCH_SETTINGS}},
        attention=_with_attention(predictor, store),
    )
    return {**report, "by_row": hypotheses}


def teacher_forced(model, batches) -> tuple[float, int, int]:
    """What a model says of all targets of a split given the references before them; END counts, padding does not.

    Returns:
        The negative log-likelihood of the targets in nats, their number, and how many of them were the most probable token.
    """

    def of_batch(source, target_in, targets):
        return model.nll_of(model.encode(source), target_in, targets)

    scored = compiled(of_batch, model)
    nll, tokens, correct = 0.0, 0, 0
    for n in track(range(batches.steps_per_epoch), "scoring the references", batches.steps_per_epoch, "batches"):
        arrays, targets, weights = batches.batch(n)
        losses, right = scored(arrays["source"], arrays["target_in"], targets)  # [B, T]
        counted = np.asarray(weights) > 0
        nll += float(keras.ops.convert_to_numpy(losses)[counted].astype("float64").sum())
        tokens += int(counted.sum())
        correct += int(keras.ops.convert_to_numpy(right)[counted].sum())
    return nll, tokens, correct


class TranslateValidation(keras.callbacks.Callback):
    """Translates the same sentences of validation after every checkpoint interval, greedily and with the averaged weights.

    Adds `val_bleu` to the logs (sacreBLEU, cased, 13a) and prints the first few sentences with their translations. It must
    stand after the callback that completes the logs and before those that read them. Nothing is drawn at random, so
    that a resumed run continues as if it had never stopped.

    Args:
        predictor: of the model that is trained.
        store: `PairStore` of validation; of a large one, evenly spaced `validation_bleu_sentences` rows are taken.
        settings: the task's.
        console: where the sentences are printed; see `progress.say`.
    """

    def __init__(self, predictor, store, settings, console):
        super().__init__()
        rows = evenly_spaced(len(store), settings.validation_bleu_sentences)
        self._sources = [store.source.text(row) for row in rows]
        self._references = [store.target.text(row) for row in rows]
        self._shown = evenly_spaced(len(rows), settings.shown_sentences)
        self._predictor, self._console = predictor, console

    def on_epoch_end(self, epoch, logs=None) -> None:
        with averaged_weights(self.model):
            translated = self._predictor.translate_iter(self._sources, beam_size=1)
            answers = list(track(translated, "translating validation", len(self._sources), "sentences"))
        translations = [answer["translation"] for answer in answers]
        logs["val_bleu"] = corpus_bleu(translations, self._references)
        for i in self._shown:
            for name, line in zip(("source", "reference", "model"), (self._sources, self._references, translations)):
                say(f"  {name:9}  {line[i]}", LOGGER, to=self._console)


def evenly_spaced(count: int, max_count: int) -> list[int]:
    """At most `max_count` of the numbers below `count`, evenly spaced."""
    return [int(i * count / max_count) for i in range(max_count)] if count > max_count else list(range(count))


def truncating_predictor(model, text, target_text, settings) -> TranslationPredictor:
    """A predictor that cuts long sources, even where the config says that a request of that length is refused."""
    cutting = settings.model_copy(update={"long_sources": "truncate"})
    return TranslationPredictor([model], text, target_text, cutting)


def _with_attention(predictor, store) -> list[dict]:
    """A few translations with what was looked at, in the order of the split."""
    rows = evenly_spaced(len(store), SHOWN_MAPS)
    answers = predictor.translate([store.source.text(row) for row in rows], attention=True)
    return [
        {
            "source": store.source.text(row),
            "reference": store.target.text(row),
            "translation": answer["translation"],
            "source_tokens": answer["source_tokens"],
            "target_tokens": answer["hypotheses"][0]["tokens"],
            "weights": answer["hypotheses"][0]["attention"],
        }
        for row, answer in zip(rows, answers)
    ]
