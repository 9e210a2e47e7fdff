"""Train, measure, export and ask a sentiment classifier, on the public API. Copy this file and change it.

python pipelines/sentiment.py configs/sentiment_sample.yaml
python pipelines/sentiment.py configs/sentiment_imdb_lstm.yaml --set data.source=files \
    --set data.source.train=train.tsv.gz --set data.source.test=test.tsv.gz
"""

import argparse
from pathlib import Path

import nlp_suite

EXAMPLES = ["A wonderful film, I loved every minute of it.", "Not good at all, but mercifully short.", ""]


def main() -> None:
    """Reads the command line and goes through the steps, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config", help="YAML file of the experiment")
    parser.add_argument("--run-dir", type=Path, help="run folder; default runs/NAME of the config file")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    name = Path(arguments.config).stem

    # 1. One YAML, checked before anything runs: unknown keys and names are errors with a suggestion.
    experiment = nlp_suite.load_experiment(arguments.config, arguments.overrides)

    # 2. Text to token ids, once: the tokenizer is trained on the training split only. `train` would do it too.
    prepared = nlp_suite.prepare(experiment, progress=print)
    print(f"labels: {', '.join(prepared.labels)}; vocabulary: {prepared.text.vocabulary_size:,}")

    # 3. Train. The same command resumes a run that was interrupted.
    run = nlp_suite.train(experiment, arguments.run_dir or Path("runs") / name)

    # 4. Measure on the test split: report.json and report.html in the run folder.
    report = nlp_suite.evaluate(run)
    print(f"test accuracy {report['accuracy']:.4f}, macro F1 {report['macro']['f1']:.4f}, ECE {report['ece']:.4f}")
    print(f"pictures: {run.directory / 'report.html'}")

    # 5. The network itself is a Keras model: token ids in, logits out.
    model = run.model()
    logits = model(run.text.pad(run.text.encode(EXAMPLES)))  # [B, C]
    print(f"{type(model).__name__} with {model.count_params():,} parameters, logits {tuple(logits.shape)}")

    # 6. One SavedModel with strings in and strings out, which TensorFlow Serving takes as it is.
    export = nlp_suite.export_run(run.directory, Path("saved_models") / name)
    print(f"exported to {export.path}")

    # 7. A run folder and an export answer alike.
    for text, answer in zip(EXAMPLES, nlp_suite.load(export.path).predict(EXAMPLES)):
        print(f"{answer['label']:>10} {answer['probability']:.3f}  {text!r}")


if __name__ == "__main__":
    main()
