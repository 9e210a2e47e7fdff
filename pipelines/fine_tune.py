"""Fine-tune a pretrained encoder in two stages: its head first, then all of it; measure and export. Copy this file.

python pipelines/fine_tune.py configs/sentiment_imdb_minilm.yaml --set data.source.train=mine.csv
python pipelines/fine_tune.py configs/sentiment_imdb_minilm.yaml --set backbone.init_from=models/my-bert
"""

import argparse
from pathlib import Path

import nlp_suite

EXAMPLES = ["A wonderful film, I loved every minute of it.", "Not good at all, but mercifully short."]


def main() -> None:
    """Reads the command line and goes through the stages, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config", help="YAML file of an experiment whose backbone is a preset")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the two run folders go")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--all-rate", type=float, default=5e-5, help="learning rate of the second stage")
    parser.add_argument("--all-epochs", type=int, default=2, help="passes of the second stage")
    arguments = parser.parse_args()
    name = Path(arguments.config).stem

    # 1. The backbone keeps the weights that it was published with, and only the classifier on top learns: every text is encoded
    # once. Nothing frozen is written again at a checkpoint, so the run folder stays as small as the model.
    cached = ["training.features=cached", *arguments.overrides, "backbone.freeze=all"]
    frozen = nlp_suite.load_experiment(arguments.config, cached)
    head = nlp_suite.train(frozen, arguments.runs / f"{name}_head")
    print(f"head only: test accuracy {nlp_suite.evaluate(head)['accuracy']:.4f}")

    # 2. From there all layers learn, slowly, and the lower ones more slowly than those above them. The network is in the
    # resolved config, so the pretrained folder is no longer asked for.
    values = frozen.model_dump(mode="json")
    values["backbone"] |= {"freeze": 0, "init_from": None}
    values["training"] |= {
        "features": "computed",
        "init_from": str(head.directory),
        "learning_rate": arguments.all_rate,
        "layer_rates": 0.9,
        "epochs": arguments.all_epochs,
    }
    run = nlp_suite.train(nlp_suite.load_experiment(values), arguments.runs / f"{name}_all")
    print(f"all layers: test accuracy {nlp_suite.evaluate(run)['accuracy']:.4f}")

    # 3. The tokenizer is in the exported graph: strings in, labels out, on a stock TensorFlow Serving.
    export = nlp_suite.export_run(run.directory, Path("saved_models") / name)
    print(f"exported to {export.path}")
    for text, answer in zip(EXAMPLES, nlp_suite.load(export.path).predict(EXAMPLES)):
        print(f"{answer['label']:>10} {answer['probability']:.3f}  {text!r}")


if __name__ == "__main__":
    main()
