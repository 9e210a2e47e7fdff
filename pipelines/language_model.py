"""Train, measure, export and ask a language model, on the public API. Copy this file and change it.

python pipelines/language_model.py configs/lm_sample.yaml
python pipelines/language_model.py configs/lm_sample.yaml --set data.source=text --set data.source.train=my.txt
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
    parser.add_argument("--prompt", action="append", help="text to continue; default: the beginning of a document")
    arguments = parser.parse_args()
    name, prompts = Path(arguments.config).stem, arguments.prompt or [""]

    # 1. One YAML, checked before anything runs: unknown keys and names are errors with a suggestion.
    experiment = nlp_suite.load_experiment(arguments.config, arguments.overrides)

    # 2. Text to token ids, once: the tokenizer is trained on the training split only. `train` would do it too.
    prepared = nlp_suite.prepare(experiment, progress=print)
    print(f"vocabulary: {prepared.text.vocabulary_size:,} tokens")

    # 3. Train. The same command resumes a run that was interrupted, the carried state included.
    run = nlp_suite.train(experiment, arguments.run_dir or Path("runs") / name)

    # 4. Measure on the test split (validation where there is none): report.json and report.html in the run folder.
    report = nlp_suite.evaluate(run)
    print(f"{report['split']} perplexity {report['perplexity_per_token']:.3f} a token, {report['context']}")
    print(f"{report['perplexity_per_word']:.3f} a word, {report['bits_per_character']:.3f} bits a character")
    print(f"pictures: {report['page']}")

    # 5. The network itself is a Keras model: token ids in, log-probabilities of what comes next out.
    model = run.model()
    log_probs = model(run.text.pad(run.text.encode(["The end"])))  # [B, T, V]
    print(
        f"{type(model).__name__} with {model.count_params():,} parameters, log-probabilities {tuple(log_probs.shape)}"
    )

    # 6. One SavedModel with strings in and strings out, which TensorFlow Serving takes as it is.
    export = nlp_suite.export_run(run.directory, Path("saved_models") / name)
    print(f"exported to {export.path}")

    # 7. A run folder and an export answer alike: the same seed gives the same text.
    written = nlp_suite.load(export.path)
    for prompt, answer in zip(prompts, written.generate(prompts, max_tokens=40, temperature=0.8, seed=1)):
        print(f"{prompt}{answer['text']}\n  ({answer['length']} tokens, log-probability {answer['log_prob']:.2f})")


if __name__ == "__main__":
    main()
