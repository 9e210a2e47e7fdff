"""The whole way on the built-in sample corpora: train, measure, export, serve, ask. `make quickstart` runs it.

python pipelines/quickstart.py
python pipelines/quickstart.py --set training.epochs=1
"""

import argparse
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nlp_suite
from nlp_suite.data.sources.seasonal_process import best_errors
from nlp_suite.registry import SOURCES

SENTIMENT, LANGUAGE = "sentiment_sample", "lm_sample"
TRANSLATION, FORECASTING = "translation_sample", "forecasting_sample"
EXAMPLES = [
    "The plot was good but the acting was not.",
    "The plot was not good but the acting was.",
    "I thought that the music was hardly dull.",
    "",
]
SENTENCES = ["Perhaps two men invite the small boy.", "We know that the old woman has often helped them."]
PROMPTS = ["the old sailor", "the birds that the", ""]
YEAR = [111.8, 110.9, 104.2, 96.1, 91.9, 92.4, 95.8, 96.3, 92.2, 91.7, 96.0, 104.1]
HISTORY = {"values": YEAR * 2, "mask": [1] * 24, "length": 24}
SHORT_TRAINING = ["training.epochs=6", "backbone.units=32", "task.stride=6"]  # of forecasting
SERIES = "data.source={name: sample, size: 40}"
RUNS = {  # name: what differs from the config
    "lstm": [],
    "bag": ["backbone={name: bag, ngrams: 2}", "training.learning_rate=0.02", "task.pooling=[mean]"],
    "words": ["backbone={name: bag, ngrams: 1}", "training.learning_rate=0.02", "task.pooling=[mean]"],
}


def main() -> None:
    """Trains, measures and exports a model of every task, serves them and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    overrides = parser.parse_args().overrides
    from rich.console import Console

    began = time.perf_counter()
    console = Console()
    tasks = (sentiment, language_model, translation, forecasting)
    tables = [part for task in tasks for part in task(console, overrides)]
    shown = [*tables, *serving(console)]
    for part in shown:
        console.print(part, soft_wrap=isinstance(part, str))
    console.print(f"everything took {time.perf_counter() - began:.0f} s")


def sentiment(console, overrides) -> list:
    """Three classifiers of reviews whose labels hang on word order."""
    from rich.table import Table

    table = Table("model", "parameters", "training", "test accuracy", "macro F1", "ECE")
    for name, differing in RUNS.items():
        console.rule(f"sentiment: train {name}")
        experiment = nlp_suite.load_experiment(SENTIMENT, [*differing, *overrides])
        run = nlp_suite.train(experiment, Path("runs") / f"quickstart-{name}")
        report = nlp_suite.evaluate(run)
        numbers = (f"{report['accuracy']:.2%}", f"{report['macro']['f1']:.4f}", f"{report['ece']:.2%}")
        table.add_row(name, f"{run.info['parameters']:,}", f"{run.info['seconds']:.0f} s", *numbers)
    source = SOURCES.get("sample")(**experiment.data.source.arguments())
    table.add_section()
    table.add_row("optimum", "", "", f"{source.optimum['bayes_accuracy']:.2%}", "", "")
    table.add_row("optimum for words", "", "", f"{source.optimum['bag_accuracy']:.2%}", "", "")

    console.rule("sentiment: export and ask")
    export = nlp_suite.export_run("runs/quickstart-lstm", Path("saved_models") / "sentiment_sample")
    answers = Table("text", "label", "probability")
    for text, answer in zip(EXAMPLES, nlp_suite.load(export.path).predict(EXAMPLES)):
        answers.add_row(repr(text), answer["label"], f"{answer['probability']:.3f}")
    return [answers, table, f"report with pictures: runs/quickstart-lstm/report.html\nSavedModel: {export.path}"]


def language_model(console, overrides) -> list:
    """A language model of sentences from a grammar whose entropy is known."""
    from rich.table import Table
    from rich.text import Text

    console.rule("language model: train lstm")
    run = nlp_suite.train(nlp_suite.load_experiment(LANGUAGE, overrides), Path("runs") / "quickstart-language-model")
    report = nlp_suite.evaluate(run)
    table = Table("model", "parameters", "training", "test perplexity", "optimum", "above it")
    best = report["best_possible"]
    # The optimum of a test split is known only where the vocabulary has all its words.
    optimum = (f"{best['perplexity_per_token']:.3f}", f"{best['excess']:.2%}") if best else ("unknown", "unknown")
    numbers = (f"{report['perplexity_per_token']:.3f}", *optimum)
    table.add_row("lstm", f"{run.info['parameters']:,}", f"{run.info['seconds']:.0f} s", *numbers)

    console.rule("language model: export and ask")
    export = nlp_suite.export_run(run.directory, Path("saved_models") / "lm_sample")
    model = nlp_suite.load(export.path)
    written = Table("prompt", "what the model writes")
    for prompt, answer in zip(PROMPTS, model.generate(PROMPTS, max_tokens=30, temperature=0.8, seed=[1, 2, 3])):
        written.add_row(repr(prompt), Text(answer["text"].strip()))
    return [written, table, f"report with pictures: {report['page']}\nSavedModel: {export.path}"]


def translation(console, overrides) -> list:
    """An English–German translator of sentences from a grammar in which every sentence has one translation."""
    from rich.table import Table
    from rich.text import Text

    console.rule("translation: train a GRU with Bahdanau's attention")
    experiment = nlp_suite.load_experiment(TRANSLATION, ["training.epochs=3", *overrides])
    run = nlp_suite.train(experiment, Path("runs") / "quickstart-translation")
    report = nlp_suite.evaluate(run)
    table = Table("model", "parameters", "training", "test BLEU", "exact match", "optimum")
    numbers = (f"{report['bleu']['score']:.2f}", f"{report['exact_match']:.2%}", "100.00%")
    table.add_row("gru, bahdanau", f"{run.info['parameters']:,}", f"{run.info['seconds']:.0f} s", *numbers)

    console.rule("translation: export and ask")
    export = nlp_suite.export_run(run.directory, Path("saved_models") / "translation_sample")
    answers = Table("text", "translation", "score")
    for text, answer in zip(SENTENCES, nlp_suite.load(export.path).translate(SENTENCES)):
        answers.add_row(text, Text(answer["translation"]), f"{answer['score']:.3f}")
    return [answers, table, f"report with pictures: {report['page']}\nSavedModel: {export.path}"]


def forecasting(console, overrides) -> list:
    """A forecaster of monthly series from a seasonal process whose best possible forecast is known."""
    from rich.table import Table

    console.rule("forecasting: train gru")
    experiment = nlp_suite.load_experiment(FORECASTING, [*SHORT_TRAINING, *overrides, SERIES])
    run = nlp_suite.train(experiment, Path("runs") / "quickstart-forecasting")
    report = nlp_suite.evaluate(run)
    table = Table("model", "parameters", "training", "test MAE, 12 months ahead", "one month ahead")
    seasonal = report["baseline"]["seasonal_naive"]
    numbers = [(f"{each['mae']:.3f}", f"{each['by_horizon'][0]['mae']:.3f}") for each in (report, seasonal)]
    table.add_row("gru", f"{run.info['parameters']:,}", f"{run.info['seconds']:.0f} s", *numbers[0])
    table.add_row("last year again", "", "", *numbers[1])
    table.add_section()
    table.add_row("optimum", "", "", *(f"{best_errors(steps)[0]:.3f}" for steps in (report["horizon"], 1)))

    console.rule("forecasting: export and ask")
    export = nlp_suite.export_run(run.directory, Path("saved_models") / "forecasting_sample")
    store = run.stores()["test"]
    (answer,) = nlp_suite.load(export.path).forecast([store.series(0)], horizon=3)
    forecasts = Table("month", "forecast", "80 % interval")
    low, high = (answer["quantiles"][level] for level in (0.1, 0.9))
    for step, value in enumerate(answer["forecast"]):
        forecasts.add_row(
            store.stamp(0, len(store.series(0)) + step), f"{value:.1f}", f"{low[step]:.1f} to {high[step]:.1f}"
        )
    return [forecasts, table, f"report with pictures: {report['page']}\nSavedModel: {export.path}"]


def serving(console) -> list:
    """The exports on the built-in endpoint, asked over REST and over gRPC."""
    from rich.table import Table
    from rich.text import Text

    from nlp_suite.serving.client import GrpcClient, RestClient
    from nlp_suite.serving.flags import Options
    from nlp_suite.serving.server import Server

    console.rule("serve: the models, over REST and gRPC")
    models: dict[str, tuple[Any, str]] = {
        "sentiment_sample": (EXAMPLES[0], "label"),
        "lm_sample": (PROMPTS[0], "text"),
        "translation_sample": (SENTENCES[0], "translation"),
        "forecasting_sample": (HISTORY, "forecast"),
    }
    config = Path("runs") / "quickstart-models.config"
    entries = "".join(
        f'  config {{ name: "{name}" base_path: "{Path("saved_models", name).absolute()}" model_platform: "tensorflow" }}\n'
        for name in models
    )
    config.write_text(f"model_config_list {{\n{entries}}}\n", "utf-8")
    rest_port, grpc_port = _free_port(), _free_port()
    options = Options(model_config_file=str(config), host="127.0.0.1", rest_api_port=rest_port, port=grpc_port)
    table = Table("asked over", "model", "version", "asked", "answer", "ms")
    with Server(options), RestClient(f"127.0.0.1:{rest_port}") as rest, GrpcClient(f"127.0.0.1:{grpc_port}") as grpc:
        for name, (asked, output) in models.items():
            inputs = [asked] if isinstance(asked, str) else {key: [value] for key, value in asked.items()}
            for how, client in (("REST", rest), ("gRPC", grpc)):
                client.predict(name, inputs)
                began = time.perf_counter()
                answer = client.predict(name, inputs)[output][0]
                taken = (time.perf_counter() - began) * 1000
                version = str(client.status(name)[0].version)
                table.add_row(how, name, version, shown(asked), Text(shown(answer).strip()), f"{taken:.0f}")
    again = f"nlp-suite serve --model_config_file={config} --rest_api_port=8501"
    page = f"http://localhost:8501/#model=translation_sample&text={quote(SENTENCES[0])}&run=1"
    return [table, f"to serve them: {again}\nthen the page to try them is at {page}"]


def shown(value) -> str:
    """A text as it is; of a history or a forecast its first numbers."""
    if isinstance(value, str):
        return value
    numbers = value["values"] if isinstance(value, dict) else value
    return " ".join(f"{number:.1f}" for number in numbers[:5]) + " …"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


if __name__ == "__main__":
    main()
