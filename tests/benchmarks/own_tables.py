"""Tables of one's own: the config that `nlp-suite init` writes, against TF-IDF with logistic regression on all rows.

    python tests/benchmarks/own_tables.py DATA [--work FOLDER] [--only NAME ...]

DATA has the folders `imdb` (train.tsv.gz, test.tsv.gz: label, tab, text below a header line), `anki_deu_eng` and
`multi30k` (train.en, train.de) and `wikitext2` (train.txt). Every table is a CSV drawn from them by a seed:

* `imdb_500`, `imdb_2000`, `imdb_25000`: reviews, with 5,000 of the test split (all 25,000 for the largest);
* `languages`: 5,000 short sentences of Tatoeba, labelled by their language (as many as there are: two);
* `five`: 4,500 rows of five classes of 50, 22, 17, 8 and 4 %, in two languages.

`better` says where a figure lies against the interval (95 %) of the baseline's: Wilson's for accuracy, 1,000 resamples of
the test rows for macro F1.
"""

import argparse
import csv
import gzip
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import nlp_suite
from nlp_suite.evaluation.tfidf import tfidf_baseline
from nlp_suite.tasks.sentiment.report import classification_report

SEED = 7
Rows = list[tuple[str, str]]  # label, text


def reviews(path: Path, random_: random.Random) -> Rows:
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        next(file)
        rows = [line.rstrip("\n").split("\t") for line in file]
    random_.shuffle(rows)
    return [("positive" if label == "1" else "negative", text) for label, text in rows]


def tables(data: Path) -> Iterator[tuple[str, Rows, Rows]]:
    """Name, training rows and test rows of every table."""
    random_ = random.Random(SEED)
    train, test = (reviews(data / "imdb" / f"{split}.tsv.gz", random_) for split in ("train", "test"))
    for count in (500, 2000):
        yield f"imdb_{count}", train[:count], test[:5000]
    english, german = (lines(data / "anki_deu_eng" / f"train.{language}") for language in ("en", "de"))
    sentences = [("en", text) for text in english[::30]] + [("de", text) for text in german[15::30]]
    sentences = list(dict.fromkeys(sentences))
    random_.shuffle(sentences)
    yield "languages", sentences[:5000], sentences[5000:8000]
    rows = five(data, english, german, test[6000:], random_)
    yield "five", rows[:4500], rows[4500:]
    yield "imdb_25000", train, test


def five(data: Path, english: list[str], german: list[str], test: Rows, random_: random.Random) -> Rows:
    """7,500 rows: complaints and praise (reviews), captions and phrases in English and German, and an encyclopedia."""
    captions = [text for language in ("en", "de") for text in lines(data / "multi30k" / f"train.{language}")]
    articles = [line.strip()[:400] for line in lines(data / "wikitext2" / "train.txt") if len(line) > 200]
    pools = {
        "complaint": ([text for label, text in test if label == "negative"], 3750),
        "praise": ([text for label, text in test if label == "positive"], 1650),
        "caption": (captions, 1250),
        "phrase": ([*english, *german], 600),
        "encyclopedia": (articles, 250),
    }
    rows = [(label, text) for label, (pool, count) in pools.items() for text in random_.sample(pool, count)]
    random_.shuffle(rows)
    return rows


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").split("\n")[:-1]


def write(path: Path, rows: Rows) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("label", "text"), *rows])
    return path


def baseline(train: Rows, test: Rows) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Truth and answers of the baseline fitted on all training rows, as class indices `[N]`; and the class names."""
    names = sorted({label for label, _ in train})
    answers = tfidf_baseline(
        [text for _, text in train], [label for label, _ in train], [text for _, text in test], bounded=False
    ).outputs.argmax(axis=1)
    return np.array([names.index(label) for label, _ in test]), answers, names


def macro_f1_interval(truth: np.ndarray, answers: np.ndarray, names: list[str]) -> tuple[float, float, float]:
    """Macro F1, and its 95 % interval over resampled rows."""

    def f1(rows):
        confusion = np.bincount(truth[rows] * len(names) + answers[rows], minlength=len(names) ** 2)
        confusion = confusion.reshape(len(names), -1)
        total = confusion.sum(0) + confusion.sum(1)
        return float((2 * confusion.diagonal() / np.maximum(1, total))[total > 0].mean())

    drawn = np.random.default_rng(SEED)
    resampled = [f1(drawn.integers(0, len(truth), len(truth))) for _ in range(1000)]
    low, high = np.percentile(resampled, [2.5, 97.5])
    return f1(np.arange(len(truth))), float(low), float(high)


def compared(value: float, low: float, high: float) -> str:
    return "above" if value > high else "within" if value >= low else "BELOW"


def measure(name: str, train: Rows, test: Rows, work: Path) -> str:
    """A row of the table for one set of rows."""
    folder = work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = write(folder / "train.csv", train), write(folder / "test.csv", test)
    config = nlp_suite.init_config(files[0], test=files[1], output=folder / "config.yaml").path
    began = time.monotonic()
    experiment = nlp_suite.load_experiment(config, [f"data.cache={folder / 'cache'}"])
    run = nlp_suite.train(experiment, folder / "run")
    whole = time.monotonic() - began
    report = nlp_suite.evaluate(run, baseline=False)
    truth, answers, names = baseline(train, test)
    one_hot = np.eye(len(names))[answers]
    low, high = classification_report(names, truth, one_hot)["accuracy_interval"]
    accuracy = float((truth == answers).mean())
    f1, f1_low, f1_high = macro_f1_interval(truth, answers, names)
    return (
        f"| {name} | {len(train):,} | **{report['accuracy']:.2%}**, {report['macro']['f1']:.4f} | "
        f"{accuracy:.2%} ({low:.1%}–{high:.1%}), {f1:.4f} ({f1_low:.3f}–{f1_high:.3f}) | "
        f"{compared(report['accuracy'], low, high)}, {compared(report['macro']['f1'], f1_low, f1_high)} | "
        f"{run.info['seconds']:.0f} s ({whole:.0f} s with preparation) |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs") / "own_tables", help="folder for tables and runs")
    parser.add_argument("--only", nargs="+", help="names of tables")
    arguments = parser.parse_args()
    print("| table | rows | accuracy, macro F1 | TF-IDF + logistic regression | better | training |")
    print("|---|---|---|---|---|---|")
    for name, train, test in tables(arguments.data):
        if not arguments.only or name in arguments.only:
            print(measure(name, train, test, arguments.work), flush=True)


if __name__ == "__main__":
    main()
