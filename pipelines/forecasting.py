"""Train, measure, export and ask a forecaster of time series, on the public API. Copy this file and change it.

python pipelines/forecasting.py configs/forecasting_sample.yaml
python pipelines/forecasting.py configs/forecasting_air_passengers.yaml --set data.source.train=airline-passengers.csv
"""

import argparse
from pathlib import Path

import numpy as np

import nlp_suite


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

    # 2. The series, cut by time into training, validation and test. `train` would do it too.
    prepared = nlp_suite.prepare(experiment, progress=print)
    store = prepared.stores["test"]
    print(f"{len(store)} series; a step is a {store.frequency}")

    # 3. Train. The same command resumes a run that was interrupted.
    run = nlp_suite.train(experiment, arguments.run_dir or Path("runs") / name)

    # 4. Measure by a rolling-origin backtest over the test split: report.json and report.html in the run folder.
    report = nlp_suite.evaluate(run)
    scaled = "" if report["mase"] is None else f", MASE {report['mase']:.4g}"  # none of constant series
    print(f"test MAE {report['mae']:.4g}, RMSE {report['rmse']:.4g}{scaled}")
    for easy in report["baseline"].values():
        print(f"  {easy['title']}: MAE {easy['mae']:.4g}")
    print(f"pictures: {run.directory / 'report.html'}")

    # 5. The network itself is a Keras model: raw values and a mask in, what is said of every step ahead out.
    model = run.model()
    history = np.asarray(store.series(0))
    context = np.nan_to_num(history[-model.context :])[None].astype("float32")  # [1, C]
    forecast, _ = model.answers(model({"values": context, "mask": np.isfinite(context).astype("float32")}))
    print(f"{type(model).__name__} with {model.count_params():,} parameters, forecasts {tuple(forecast.shape)}")

    # 6. One SavedModel with raw values in and forecasts out, which TensorFlow Serving takes as it is.
    export = nlp_suite.export_run(run.directory, Path("saved_models") / name)
    print(f"exported to {export.path}")

    # 7. A run folder and an export answer alike.
    (answer,) = nlp_suite.load(export.path).forecast([history])
    for step, value in enumerate(answer["forecast"]):
        print(f"{store.stamp(0, len(history) + step)}  {value:.5g}")


if __name__ == "__main__":
    main()
