"""A recognised model as a run folder, which is asked, exported and trained on like any other."""

from pathlib import Path
from typing import Any

import numpy as np

from nlp_suite.config import Experiment, load_experiment
from nlp_suite.data.prepare import Prepared
from nlp_suite.errors import ExportError
from nlp_suite.task import Assets
from nlp_suite.tasks.sentiment.imported.network import KerasNetwork
from nlp_suite.tasks.sentiment.imported.recurrent import Recognised, put_weights, recognise
from nlp_suite.tasks.sentiment.imported.signatures import ImportedClassifier
from nlp_suite.text.text_layer import TextLayer
from nlp_suite.text.tokenizers.base import SPECIAL_TOKENS, UNKNOWN_SURFACE
from nlp_suite.text.tokenizers.keras_words import KerasWordsTokenizer
from nlp_suite.training.callbacks import write_weights
from nlp_suite.training.distributions.base import World
from nlp_suite.training.run import Run, make_task
from nlp_suite.training.run_start import begin_run

UNBOUNDED = 2000  # tokens of a text, where the model's text layer has no limit
TOLERANCE = 1e-5  # of probabilities, between the model and the run


def write_run(classifier: ImportedClassifier, run_dir: Path) -> tuple[float, list[str]]:
    """Makes a run folder of an imported classifier.

    Args:
        classifier: the imported one.
        run_dir: the folder, new.

    Returns:
        The largest difference of a probability between both, and sentences on where they do not read alike.

    Raises:
        ExportError: the model is none that this package has, or the run answers otherwise; nothing is left behind.
    """
    network = classifier.network
    if not isinstance(network, KerasNetwork):
        raise ExportError(f"{str(network.path)!r} is a graph, whose layers are not known: give the .keras or H5 file")
    found = recognise(network.model)
    text, rows, remarks = _text_of(classifier, found)
    experiment = _experiment(classifier, found, text)
    layer = TextLayer(experiment.text, text)
    assets = Assets(layer, layer, classifier.labels)
    model = make_task(experiment).model(experiment.backbone, assets)
    put_weights(found, model, rows, network.columns)
    difference = _difference(classifier, make_task(experiment).predictor(model, assets, experiment), found)
    if not found.masked:
        remarks.append(
            "its Embedding has no mask_zero, so it read padding as a word: a text that fills all of a row has the same answer here, "
            "a shorter one has that of the text alone"
        )
    begin_run(
        run_dir, experiment, Prepared(assets, {}, {}, run_dir), [], {"from": str(network.path), "licence": ""}, World()
    )
    run = Run(run_dir)
    write_weights(model, run.record, "best")
    run.record.update(state="finished")
    return difference, remarks


def _text_of(classifier: ImportedClassifier, found: Recognised) -> tuple[KerasWordsTokenizer, np.ndarray, list[str]]:
    """The tokenizer, the row of the embedding for each of its ids, and remarks."""
    words, remarks, path = classifier.words, [], classifier.network.path
    if words is None:
        layer = _vectorization(classifier.network)
        standardize = layer._standardize or "none"
        vocabulary = layer.get_vocabulary()
        ids, special = {word: i for i, word in enumerate(vocabulary) if i > 1}, [0, 1, -1, -1]
        if (layer._split, layer._ngrams, layer._output_mode) != ("whitespace", None, "int") or not isinstance(
            standardize, str
        ):
            raise ExportError(
                f"not recognised: {path}'s TextVectorization cuts texts otherwise than at white space, into ids"
            )
    else:
        ids, standardize = dict(words.ids), words.standardize
        start = -1 if words.rule.start_id is None else words.rule.start_id
        special = [words.rule.pad_id, -1 if words.unknown == "drop" else words.unknown, start, -1]
        if words.rule.pad_id != 0 and found.masked:
            raise ExportError(f"{path}: its mask leaves out id 0, and --pad-id is {words.rule.pad_id}")
        if words.unknown == "drop":
            remarks.append(
                "words that the vocabulary lacks were left out in its training; here they are a token of zeros"
            )
    kept = {
        word: i
        for word, i in ids.items()
        if word and word != UNKNOWN_SURFACE and i not in special and not _has_space(word)
    }
    tokenizer = KerasWordsTokenizer.with_words(
        kept, vocabulary_size=max(5, len(kept) + len(SPECIAL_TOKENS)), standardize=standardize
    )
    return tokenizer, np.array([*special, *kept.values()]), remarks


def _has_space(word: str) -> bool:
    return any(character.isspace() for character in word)


def _vectorization(network: Any) -> Any:
    import keras

    return next(layer for layer in network.model.layers if isinstance(layer, keras.layers.TextVectorization))


def _experiment(classifier: ImportedClassifier, found: Recognised, tokenizer: KerasWordsTokenizer) -> Experiment:
    words = classifier.words
    length = words.length if words else _vectorization(classifier.network)._output_sequence_length or UNBOUNDED
    settings = {
        "name": "keras_words",
        "vocabulary_size": tokenizer.vocabulary_size,
        "standardize": tokenizer.standardize,
    }
    text = {
        "unicode_form": "none",
        "lowercase": False,
        "strip_html": False,
        "invisible": "keep",
        "collapse_spaces": False,
        "tokenizer": settings,
        "max_length": max(2, length),
        "truncation": words.rule.truncation if words is not None else "head",
        "add_start": words is not None and words.rule.start_id is not None,
    }
    return load_experiment(
        {
            "task": {"name": "sentiment", "calibration": "none", **found.task},
            "data": {"labels": classifier.labels},
            "text": text,
            "backbone": found.backbone,
        }
    )


def _difference(theirs: ImportedClassifier, ours: Any, found: Recognised) -> float:
    """The largest difference of a probability over texts of random words, of full length and, where padding is masked, shorter."""
    draw = np.random.default_rng(0)
    settings, words = ours.text.settings, np.array(ours.text.tokenizer.tokens[4:])
    whole = settings.max_length - int(settings.add_start)
    lengths = draw.integers(1, whole + 1, 16).tolist() if found.masked else [whole] * 4
    texts = [" ".join(draw.choice(words, size)) for size in lengths]
    difference = float(np.abs(theirs.probabilities(texts) - ours.probabilities(texts)).max())
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the network here answers otherwise: a probability differs by {difference:.2g} ({TOLERANCE:g} allowed)"
        )
    return difference
