"""The whole way on the built-in sample corpus: train, measure, export, ask. `make quickstart` runs it."""

import time
from pathlib import Path

import nlp_suite
from nlp_suite.registry import SOURCES

CONFIG = "configs/sentiment_sample.yaml"
EXAMPLES = [
    "The plot was good but the acting was not.",
    "The plot was not good but the acting was.",
    "I thought that the music was hardly dull.",
    "",
]
RUNS = {  # name: what differs from the config
    "lstm": [],
    "bag": ["backbone={name: bag, ngrams: 2}", "training.learning_rate=0.02", "task.pooling=[mean]"],
    "words": ["backbone={name: bag, ngrams: 1}", "training.learning_rate=0.02", "task.pooling=[mean]"],
}


def main():
    from rich.console import Console
    from rich.table import Table

    began = time.perf_counter()
    console = Console()
    table = Table("model", "parameters", "training", "test accuracy", "macro F1", "ECE")
    for name, overrides in RUNS.items():
        console.rule(f"train {name}")
        experiment = nlp_suite.load_experiment(CONFIG, overrides)
        run = nlp_suite.train(experiment, Path("runs") / f"quickstart-{name}")
        report = nlp_suite.evaluate(run)
        numbers = (f"{report['accuracy']:.2%}", f"{report['macro']['f1']:.4f}", f"{report['ece']:.2%}")
        table.add_row(name, f"{run.info['parameters']:,}", f"{run.info['seconds']:.0f} s", *numbers)
    source = SOURCES.get("sample")(**experiment.data.source.arguments())
    table.add_section()
    table.add_row("optimum", "", "", f"{source.bayes_accuracy:.2%}", "", "")
    table.add_row("optimum for words", "", "", f"{source.bag_accuracy:.2%}", "", "")

    console.rule("export and ask")
    export = nlp_suite.export_run("runs/quickstart-lstm", Path("saved_models") / "sentiment_sample")
    answers = Table("text", "label", "probability")
    for text, answer in zip(EXAMPLES, nlp_suite.load(export.path).predict(EXAMPLES)):
        answers.add_row(repr(text), answer["label"], f"{answer['probability']:.3f}")

    console.print(answers)
    console.print(table)
    console.print(f"report with pictures: runs/quickstart-lstm/report.html\nSavedModel: {export.path}")
    console.print(f"everything took {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
