"""Tables of one's own with other labels: the config that `nlp-suite init` writes, against TF-IDF with a linear model.

    python tests/benchmarks/own_labels.py DATA [--work FOLDER] [--only NAME ...]

DATA as for `own_tables.py`. Every table is drawn from it by a seed:

* `captions` (several labels): 5,000 English captions of Multi30k, each labelled by what its German translation names
  (`THINGS`), in a CSV with commas between the labels;
* `stars` (ordered): 4,000 rows of the last 40 words of each of four reviews of IMDB; 1 star, and one for every positive one;
* `share` (numbers): 4,000 rows of the ends of four reviews, of 5 to 60 words each; how many of 100 words are of positive ones;
* `length` (numbers): 5,000 English sentences of Tatoeba; the characters of their German translations.

The baselines are fitted on all training rows: logistic regression a label, with thresholds at 0.5, for `captions`; logistic
regression of classes, and ridge regression rounded to the nearest class, for `stars`; ridge regression for numbers. `lead` is by
how much the model is better, with the 95 % interval of 1,000 paired resamples of the test rows.
"""

import argparse
import csv
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from own_tables import SEED, Rows, lines, reviews

import nlp_suite
from nlp_suite.evaluation.tfidf import tfidf_baseline, tfidf_multi_label_baseline, tfidf_regression_baseline

THINGS = {  # what a German caption names → a pattern of its words
    "man": r"\w*(?:mann|männer|männern|mannes|herr|herren)\b",
    "woman": r"\w*(?:frau|frauen|dame|damen)\b",
    "child": r"\w*(?:kind|kinder|kindern|kleinkind|junge|jungen|mädchen|baby)\b",
    "dog": r"\w*(?:hund|hunde|hunden|hundes|welpe)\b",
    "water": r"(?:wasser|meer|ozean|see|strand|fluss|pool|wellen?|schwimm|boot)\w*",
    "street": r"\w*(?:straße|straßen|gehweg|gehsteig|bürgersteig)\b",
    "ball": r"\w*ball\b",
    "bicycle": r"\w*(?:fahrrad|fahrräder|fahrrädern|rad|mountainbike|radfahrer)\b",
    "music": r"(?:gitarre|musik|instrument|schlagzeug|klavier|geige|singt|band|trommel)\w*",
    "snow": r"(?:schnee|ski|snowboard|schlitten)\w*",
}
Figures = Mapping[str, Callable[[Any, Any], float]]  # name → of truth and answers, higher is better


class Answers(NamedTuple):
    """What a method answered: of `captions` bool `[N, C]`, else numbers `[N]`."""

    name: str
    values: Any


def tables(data: Path) -> Iterator[tuple[str, Rows, Rows]]:
    """Name, training rows and test rows (label, text) of every table."""
    random_ = random.Random(SEED)
    english, german = (lines(data / "multi30k" / f"train.{language}") for language in ("en", "de"))
    captions = [(", ".join(named(theirs)), ours) for ours, theirs in zip(english, german, strict=True)]
    random_.shuffle(captions)
    yield "captions", captions[:5000], captions[5000:7000]
    train, test = (reviews(data / "imdb" / f"{split}.tsv.gz", random_) for split in ("train", "test"))
    yield "stars", list(stars(train[:16_000])), list(stars(test[:8000]))
    yield "share", list(shares(train[:16_000], random_)), list(shares(test[:8000], random_))
    english, german = (lines(data / "anki_deu_eng" / f"train.{language}") for language in ("en", "de"))
    lengths = list({ours: (str(len(theirs)), ours) for ours, theirs in zip(english, german, strict=True)}.values())
    random_.shuffle(lengths)
    yield "length", lengths[:5000], lengths[5000:7000]


def named(caption: str) -> list[str]:
    """What a German caption names."""
    return [thing for thing, pattern in THINGS.items() if re.search(rf"\b{pattern}", caption.lower())]


def _fours(rows: Rows) -> Iterator[Rows]:
    return (rows[at : at + 4] for at in range(0, len(rows), 4))


def stars(rows: Rows) -> Iterator[tuple[str, str]]:
    for four in _fours(rows):
        positive = sum(label == "positive" for label, _ in four)
        yield str(1 + positive), " … ".join(" ".join(text.split()[-40:]) for _, text in four)


def shares(rows: Rows, random_: random.Random) -> Iterator[tuple[str, str]]:
    for four in _fours(rows):
        ends = [(label, text.split()[-random_.randint(5, 60) :]) for label, text in four]
        positive = sum(len(words) for label, words in ends if label == "positive")
        share = 100 * positive / sum(len(words) for _, words in ends)
        yield f"{share:.1f}", " … ".join(" ".join(words) for _, words in ends)


def write(path: Path, rows: Rows, column: str) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([(column, "text"), *rows])
    return path


# ---- figures


def micro_f1(truth: Any, answers: Any) -> float:
    return float(2 * (truth & answers).sum() / max(1, truth.sum() + answers.sum()))


def macro_f1(truth: Any, answers: Any) -> float:
    total = truth.sum(axis=0) + answers.sum(axis=0)
    return float((2 * (truth & answers).sum(axis=0) / np.maximum(1, total)).mean())


def spearman(truth: Any, answers: Any) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(truth, answers).statistic)


OF_LABELS: Figures = {"micro F1": micro_f1, "macro F1": macro_f1}
OF_STARS: Figures = {
    "accuracy": lambda truth, answers: float((truth == answers).mean()),
    "−mean distance": lambda truth, answers: -float(np.abs(truth - answers).mean()),
}
OF_NUMBERS: Figures = {
    "−mean absolute error": lambda truth, answers: -float(np.abs(truth - answers).mean()),
    "−RMSE": lambda truth, answers: -float(np.sqrt(np.square(truth - answers).mean())),
    "Spearman": spearman,
}


def lead(figure: Callable[[Any, Any], float], truth: Any, ours: Any, theirs: Any) -> str:
    """By how much our figure is higher, with its interval and what that says."""
    drawn = np.random.default_rng(SEED)
    rows = [drawn.integers(0, len(truth), len(truth)) for _ in range(1000)]
    low, high = np.quantile([figure(truth[r], ours[r]) - figure(truth[r], theirs[r]) for r in rows], (0.025, 0.975))
    verdict = "above" if low > 0 else "BELOW" if high < 0 else "within"
    return f"{figure(truth, ours) - figure(truth, theirs):+.4f} ({low:+.4f} to {high:+.4f}), {verdict}"


# ---- methods


def of_model(name: str, run: Any, texts: list[str]) -> Any:
    answers = run.predict(texts)
    if name == "captions":
        return np.array([[label in answer["labels"] for label in THINGS] for answer in answers])
    return np.array([float(answer["label"] if name == "stars" else answer["value"]) for answer in answers])


def of_baselines(name: str, train: Rows, texts: list[str]) -> Iterator[Answers]:
    seen, labels = [text for _, text in train], [label for label, _ in train]
    if name == "captions":
        answered = tfidf_multi_label_baseline(seen, truth_of(name, train), texts, bounded=False)
        yield Answers("TF-IDF + logistic regression", answered.outputs >= 0.5)
        return
    if name == "stars":
        answered = tfidf_baseline(seen, labels, texts, bounded=False)
        yield Answers("TF-IDF + logistic regression", np.array([float(label) for label in answered.predicted]))
    answered = tfidf_regression_baseline(seen, [float(label) for label in labels], texts, bounded=False)
    values = np.clip(np.round(answered.outputs), 1, 5) if name == "stars" else answered.outputs
    yield Answers(f"TF-IDF + ridge{', rounded' if name == 'stars' else ''}", values)


def truth_of(name: str, rows: Rows) -> Any:
    if name == "captions":
        return np.array([[thing in label.split(", ") for thing in THINGS] for label, _ in rows])
    return np.array([float(label) for label, _ in rows])


def measure(name: str, train: Rows, test: Rows, work: Path, overrides: list[str]) -> Iterator[str]:
    """Rows of the table for one set of rows."""
    folder = work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    column = {"captions": "labels", "stars": "stars"}.get(name, "score")
    files = write(folder / "train.csv", train, column), write(folder / "test.csv", test, column)
    config = nlp_suite.init_config(files[0], test=files[1], output=folder / "config.yaml").path
    began = time.monotonic()
    run = nlp_suite.train(
        nlp_suite.load_experiment(config, [f"data.cache={folder / 'cache'}", *overrides]), folder / "run"
    )
    whole = time.monotonic() - began
    texts, truth = [text for _, text in test], truth_of(name, test)
    ours = of_model(name, nlp_suite.load(run.directory), texts)
    problem = run.experiment.task.problem
    for baseline in of_baselines(name, train, texts):
        for figure, of in {"captions": OF_LABELS, "stars": OF_STARS}.get(name, OF_NUMBERS).items():
            value, other = (abs(of(truth, answers)) for answers in (ours, baseline.values))
            yield (
                f"| {name} ({problem}) | {len(train):,} | {figure.removeprefix('−')} | **{value:.4g}** | {other:.4g} "
                f"({baseline.name}) | {lead(of, truth, ours, baseline.values)} | {run.info['seconds']:.0f} s "
                f"({whole:.0f} s with preparation) |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs") / "own_labels", help="folder for tables and runs")
    parser.add_argument("--only", nargs="+", help="names of tables")
    parser.add_argument("--set", nargs="+", default=[], help="changes of the configs, as backbone.ngrams=1")
    arguments = parser.parse_args()
    print("| table | rows | figure | `init` | baseline | lead | training |")
    print("|---|---|---|---|---|---|---|")
    for name, train, test in tables(arguments.data):
        if not arguments.only or name in arguments.only:
            for row in measure(name, train, test, arguments.work, arguments.set):
                print(row, flush=True)


if __name__ == "__main__":
    main()
