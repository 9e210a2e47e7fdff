"""Times the exported `tokens` signature of a translation Transformer beside CTranslate2 (float32) on the same weights.

3+3 layers of 256 units, 4 heads, feed-forward 1,024, 8,000 words, random weights: source rows of 24 ids, translations of
exactly 25, greedy and with a beam of 4, one sentence and 32. The SavedModel is what `nlp-suite export` writes, its settings
the task's own (`max_tokens` 100); CTranslate2's model comes from `--format ctranslate2`. Both are made once in a folder,
`--models`, and each implementation opens its own in a process of its own; they run in turns. `suite` is the SavedModel
under `tf.saved_model.load`, `endpoint` the same in the session that `nlp-suite serve` makes. `opennmt` is OpenNMT-tf's own
SavedModel of a model of these sizes (`opennmt_step.py` says how to make its environment), given words instead of ids; it
takes part where `--opennmt-python` names it. `xla` is the search of the signature `translate_xla` with the same weights, made
in this process: 24 ids are padded to 32, whose caches have 66 places (31 x 1.5 + 20, as the task's settings are by default).

    pip install 'nlp-suite[ctranslate2]'
    python tests/benchmarks/translation_decode.py --threads 1
    python tests/benchmarks/translation_decode.py --beam 4 --batch 32 --rounds 5
    python tests/benchmarks/translation_decode.py --only endpoint opennmt --opennmt-python opennmt/bin/python
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import turns

IMPLEMENTATIONS = {
    "ctranslate2": "CTranslate2, float32",
    "suite": "nlp_suite, SavedModel",
    "endpoint": "nlp_suite, endpoint",
    "opennmt": "OpenNMT-tf, SavedModel",
    "xla": "nlp_suite, XLA",
}
SOURCE, TARGET = 24, 25  # ids, END of the source included


def network(options):
    """The model with random weights and its text layer."""
    import keras

    from nlp_suite.config import TextSettings, load_experiment
    from nlp_suite.task import Assets
    from nlp_suite.tasks.translation.predictor import TranslationPredictor
    from nlp_suite.text.text_layer import TextLayer
    from nlp_suite.training.run import make_task

    keras.utils.set_random_seed(options.seed)
    settings = TextSettings(tokenizer={"name": "word", "min_count": 1}, add_end=True)
    text = TextLayer.train(
        settings, [" ".join(f"w{i}" for i in range(start, start + 500)) for start in range(0, 8000, 500)]
    )
    part = {"name": "transformer", "layers": 3, "heads": 4, "feed_forward": 1024}
    search = {"min_length": TARGET - 1, "max_length_factor": 1.0, "max_length_extra": TARGET - SOURCE + 1}
    experiment = load_experiment(
        {
            "task": {
                **{"name": "translation", "decoder": part, "tie_embeddings": "all"},
                **{"beam_size": options.beam[0], "n_best": 1, "length_penalty": 0.0, **search},
            },
            "backbone": {"embedding_size": 256, **part},
        }
    )
    model = make_task(experiment).model(experiment.backbone, Assets(text, text))
    model.build()
    return model, text, TranslationPredictor([model], text, text, experiment.task)


def make(options, folder):
    """Writes the SavedModel of a beam size and CTranslate2's model, unless they are there."""
    import tensorflow as tf

    from nlp_suite.export.formats.ctranslate2_spec import transformer_spec
    from nlp_suite.tasks.translation.signatures import TranslationSignatures

    made = Path(folder, f"suite-{options.beam[0]}")
    if made.exists():
        return
    model, text, inference = network(options)
    signatures = TranslationSignatures(model, inference)
    module, functions = signatures.module, signatures.functions()
    saving = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(made), {"tokens": functions["tokens"]}, options=saving)
    if "opennmt" in options.only:
        script = Path(__file__).with_name("opennmt_export.py")
        command = [
            options.opennmt_python,
            str(script),
            str(Path(folder, f"opennmt-{options.beam[0]}")),
            str(options.beam[0]),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    other = Path(folder, "ctranslate2")
    if "ctranslate2" in options.only and not other.exists():
        other.mkdir()
        spec = transformer_spec(model, text, text, inference.settings.max_tokens)
        spec.validate()
        spec.optimize()
        spec.save(str(other))


def sources(options):
    """Ids int32 [B, 24], END last."""
    rows = np.random.default_rng(options.seed).integers(4, 8000, (options.batch[0], SOURCE)).astype("int32")
    rows[:, -1] = 3
    return rows


def suite_step(options):
    """Translates the batch once; gives the mean log-probability."""
    tf = turns.limit_tensorflow(options.threads)
    import tensorflow_text  # noqa: F401 (its ops)

    module = tf.saved_model.load(str(Path(options.models, f"suite-{options.beam[0]}")))
    rows = tf.constant(sources(options))
    lengths = tf.fill([len(rows)], SOURCE)

    def step():
        found = module.signatures["tokens"](tokens=rows, length=lengths)
        assert (found["length"].numpy() == TARGET).all()
        return float(found["log_prob"].numpy().mean())

    return step, turns.gemm_tensorflow


def endpoint_step(options):
    """As `suite_step`, in the session of the built-in endpoint."""
    turns.limit_tensorflow(options.threads)
    from nlp_suite.serving.servable import Servable, SessionSettings

    path = Path(options.models, f"suite-{options.beam[0]}")
    servable = Servable("suite", 1, path, SessionSettings(inter_op_threads=options.threads))
    rows = sources(options)
    feeds = {"tokens": rows, "length": np.full(len(rows), SOURCE, "int32")}

    def step():
        found = servable.run("tokens", feeds, ["length", "log_prob"])
        assert (found["length"] == TARGET).all()
        return float(found["log_prob"].mean())

    return step, turns.gemm_tensorflow


def xla_step(options):
    """As `suite_step`, the search compiled by XLA; the first call of every shape compiles for seconds."""
    tf = turns.limit_tensorflow(options.threads)
    from nlp_suite.tasks.translation.compiled import compiled_search

    _, _, inference = network(options)
    inference.settings = inference.settings.model_copy(update={"max_length_factor": 1.5, "max_length_extra": 20})
    shapes = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
    search = tf.function(compiled_search(inference), input_signature=shapes, autograph=False)
    rows = tf.constant(sources(options))
    most = tf.fill([len(rows)], TARGET)

    def step():
        found = search(rows, most)
        assert (found["length"].numpy() == TARGET).all()
        return float(found["log_prob"].numpy().mean())

    return step, turns.gemm_tensorflow


def opennmt_step(options):
    """As `suite_step`, in OpenNMT-tf's environment; other weights, so other log-probabilities."""
    tf = turns.limit_tensorflow(options.threads)
    module = tf.saved_model.load(str(Path(options.models, f"opennmt-{options.beam[0]}")))
    rows = tf.constant([[f"w{i % 7000}" for i in row] for row in sources(options).tolist()])
    lengths = tf.fill([len(rows)], SOURCE)

    def step():
        found = module.signatures["serving_default"](tokens=rows, length=lengths)
        assert (found["length"].numpy() == TARGET).all(), found["length"]
        return float(found["log_probs"].numpy().mean())

    return step, turns.gemm_tensorflow


def ctranslate2_step(options):
    """As `suite_step`."""
    import ctranslate2

    folder = Path(options.models, "ctranslate2")
    names = json.loads(next(folder.glob("*_vocabulary.json")).read_text("utf-8"))
    translator = ctranslate2.Translator(str(folder), compute_type="float32", intra_threads=options.threads)
    rows = [[names[i] for i in row] for row in sources(options)]

    def step():
        found = translator.translate_batch(
            rows,
            beam_size=options.beam[0],
            length_penalty=0.0,
            min_decoding_length=TARGET,
            max_decoding_length=TARGET,
            return_scores=True,
        )
        assert {len(each.hypotheses[0]) for each in found} == {TARGET}
        return float(np.mean([each.scores[0] for each in found]))

    def gemm():
        a = np.ones((1024, 1024), "float32")
        return 2 * 1024**3 / turns.seconds(lambda: a @ a, 5) / 1e9

    return step, gemm


def table(options, rows):
    """A line for each implementation."""
    base = np.array(next(iter(rows.values()))["seconds"])
    for name, row in rows.items():
        taken, cpu = np.array(row["seconds"]), np.array(row["cpu_seconds"])
        low, middle, high = np.percentile(taken / base, [25, 50, 75])
        print(
            f"{options.batch[0]:>5}{options.beam[0]:>5}  {IMPLEMENTATIONS[name]:24}{np.median(taken) * 1e3:9.1f}"
            f"{taken.min() * 1e3:9.1f}{cpu.min() * 1e3:9.1f}{middle:8.2f}{f'{low:.2f}-{high:.2f}':>14}"
            f"{options.batch[0] * TARGET / np.median(taken):11,.0f}{row['losses'][-1]:12.4f}{row['peak_mib']:8.0f}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beam", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--models", help="a folder for the two models; default: one that is deleted")
    parser.add_argument("--opennmt-python", help="interpreter of an environment with OpenNMT-tf")
    turns.common_options(parser, IMPLEMENTATIONS)
    options = parser.parse_args()
    if options.worker:
        steps = {
            "suite": suite_step,
            "endpoint": endpoint_step,
            "ctranslate2": ctranslate2_step,
            "opennmt": opennmt_step,
            "xla": xla_step,
        }
        turns.worker(options, *steps[options.worker](options))
        return
    if "opennmt" in options.only and not options.opennmt_python:
        options.only.remove("opennmt")

    def python(name):
        return options.opennmt_python if name == "opennmt" else sys.executable

    given = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        folder = options.models or folder
        print(f"{SOURCE} ids in, {TARGET} out, {options.threads} threads, {options.rounds} turns of {options.steps}")
        print(
            f"{'batch':>5}{'beam':>5}  {'implementation':24}{'ms':>9}{'least':>9}{'CPU ms':>9}{'times':>8}{'quartiles':>14}"
            f"{'tokens/s':>11}{'log-prob':>12}{'MiB':>8}"
        )
        for beam in options.beam:
            one = argparse.Namespace(**{**vars(options), "beam": [beam]})
            make(one, folder)
            for one.batch in ([batch] for batch in options.batch):
                chosen = ["--beam", str(beam), "--batch", str(one.batch[0]), "--models", str(folder)]
                sys.argv[1:] = [*given, *chosen]
                rows = turns.measure(one, __file__, python)
                print(json.dumps(rows) if options.json else "", end="\n" if options.json else "")
                if not options.json:
                    table(one, rows)


if __name__ == "__main__":
    main()
