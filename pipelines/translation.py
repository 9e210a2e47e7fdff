"""Train, measure, export and ask a translation model, on the public API. Copy this file and change it.

python pipelines/translation.py configs/translation_sample.yaml
python pipelines/translation.py configs/translation_sample.yaml --set 'data.source={name: parallel, train: pairs.tsv}'
"""

import argparse
from pathlib import Path

import nlp_suite


def main() -> None:
    """Reads the command line and goes through the steps, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config", help="YAML file of the experiment")
    parser.add_argument("--run-dir", type=Path, help="run folder; default runs/NAME of the config file")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--text", action="append", help="sentence to translate; default: two of the validation split")
    arguments = parser.parse_args()
    name = Path(arguments.config).stem

    # 1. One YAML, checked before anything runs: unknown keys and names are errors with a suggestion.
    experiment = nlp_suite.load_experiment(arguments.config, arguments.overrides)

    # 2. Text to token ids, once: the tokenizers are trained on the training split only. `train` would do it too.
    prepared = nlp_suite.prepare(experiment, progress=print)
    print(f"vocabularies: {prepared.text.vocabulary_size:,} and {prepared.target_text.vocabulary_size:,} tokens")

    # 3. Train. The same command resumes a run that was interrupted.
    run = nlp_suite.train(experiment, arguments.run_dir or Path("runs") / name)

    # 4. Measure on the test split (validation where there is none): report.json and report.html in the run folder.
    report = nlp_suite.evaluate(run)
    print(f"{report['split']} BLEU {report['bleu']['score']:.2f} ({report['bleu']['signature']})")
    print(f"pictures, attention among them: {report['page']}")

    # 5. The network itself is a Keras model: source and target ids in, log-probabilities of every next token out.
    model = run.model()
    source = prepared.stores["validation"].source
    texts = arguments.text or [source.text(row) for row in range(2)]
    ids = run.text.pad(run.text.encode(texts))
    start = run.target_text.pad([[2] for _ in texts])  # START
    log_probs = model({"source": ids, "target_in": start})  # [B, 1, V]
    print(
        f"{type(model).__name__} with {model.count_params():,} parameters, log-probabilities {tuple(log_probs.shape)}"
    )

    # 6. One SavedModel with strings in and strings out, the beam search in its graph, which TensorFlow Serving takes.
    export = nlp_suite.export_run(run.directory, Path("saved_models") / name)
    print(f"exported to {export.path}")

    # 7. A run folder and an export answer alike.
    for text, answer in zip(texts, nlp_suite.load(export.path).translate(texts)):
        print(f"{text}\n  {answer['translation']}  (score {answer['score']:.3f})")


if __name__ == "__main__":
    main()
