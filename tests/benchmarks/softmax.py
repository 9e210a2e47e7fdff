"""Times loss and gradient of an output softmax: this package's layers against the plain computation, in turns.

Two comparisons: at 10,000 words FullSoftmax with a matrix product and the backend's sparse cross-entropy (softmax over
logits in one tensor, automatic differentiation), and at 33,278 words AdaptiveSoftmax with FullSoftmax. Targets are
drawn from the word frequencies of `--text` (a Zipf distribution without). The gradient is taken in the features and in
all weights. Each implementation lives in a process of its own; they run in turns, so that the machine's mood is the
same for all, and all have the same number of threads.

    python tests/benchmarks/softmax.py --text wikitext2/train.txt
    python tests/benchmarks/softmax.py --backend jax --tied
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

# name: words, and the name of what its time is compared with
IMPLEMENTATIONS = {
    "plain": (10_000, "plain"),
    "full": (10_000, "plain"),
    "plain_33k": (33_278, "full_33k"),
    "full_33k": (33_278, "full_33k"),
    "adaptive_33k": (33_278, "full_33k"),
}


def targets(options, words):
    """Ids [N], sorted by frequency, as frequent as in the text."""
    if options.text:
        counts = Counter(Path(options.text).read_text(encoding="utf-8").split())
        share = np.array([count for _, count in counts.most_common(words)], float)
    else:
        share = 1 / (np.arange(words) + 2.7)
    return np.random.default_rng(options.seed).choice(len(share), options.tokens, p=share / share.sum()).astype("int32")


def layer(options, name, words):
    """The layer, built, of `plain` too (for its weights)."""
    from nlp_suite.layers.adaptive_softmax import AdaptiveSoftmax
    from nlp_suite.layers.full_softmax import FullSoftmax

    more = {"tied": options.tied, "embedding_size": options.features}
    if options.chunk_mib:
        more["chunk_elements"] = int(options.chunk_mib * 2**18)
    if name.startswith("adaptive"):
        softmax = AdaptiveSoftmax(words, options.cutoffs, **more)
    else:
        softmax = FullSoftmax(words, **more)
    softmax.build((None, options.features))
    return softmax


def flops(options, name, words):
    """Of the matrix products of one step: forward and twice as much backward."""
    if not name.startswith("adaptive"):
        return 6 * options.tokens * options.features * words
    ids, width = targets(options, words), options.features
    total = 6 * options.tokens * width * (options.cutoffs[0] + len(options.cutoffs))
    for i, (low, high) in enumerate(zip(options.cutoffs, [*options.cutoffs[1:], words], strict=True)):
        own = np.sum((ids >= low) & (ids < high))
        inner = width if options.tied else width // 4 ** (i + 1)
        total += 6 * own * inner * (high - low + (0 if options.tied else width))
    return total


def step(options, name):
    """Returns a function that does one step and returns the loss, and the rate of a matrix product in GFLOP/s."""
    if options.backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    import keras
    from keras import ops

    keras.utils.set_random_seed(options.seed)
    words = IMPLEMENTATIONS[name][0]
    softmax = layer(options, name, words)
    random = np.random.default_rng(options.seed)
    x = random.normal(size=(options.tokens, options.features)).astype("float32")
    w = np.ones(options.tokens, "float32")
    t = targets(options, words)
    tied = (
        [keras.Variable(random.normal(size=(words, options.features)) * 0.05, dtype="float32")] if options.tied else []
    )
    variables = [*softmax.trainable_variables, *tied]

    def loss(x, t, w):
        if not name.startswith("plain"):
            return softmax.loss(x, t, w, *tied)[0]
        kernel = tied[0] if tied else softmax.kernel
        logits = ops.matmul(x, ops.transpose(kernel)) + softmax.bias
        return ops.sum(w * ops.sparse_categorical_crossentropy(t, logits, from_logits=True))

    run = {"tensorflow": tensorflow_step, "jax": jax_step}[options.backend](options, loss, variables)
    a = ops.convert_to_tensor(random.normal(size=(1024, 1024)).astype("float32"))

    def gemm():
        best = np.inf
        for _ in range(5):
            start = time.perf_counter()
            ops.convert_to_numpy(ops.matmul(a, a))
            best = min(best, time.perf_counter() - start)
        return 2 * 1024**3 / best / 1e9

    return run(x, t, w), gemm


def tensorflow_step(options, loss, variables):
    import tensorflow as tf

    rows = [tf.TensorSpec([None, options.features]), tf.TensorSpec([None], tf.int32), tf.TensorSpec([None])]

    @tf.function(input_signature=rows)
    def train(x, t, w):
        values = [v.value for v in variables]
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = loss(x, t, w)
        return total, [tf.convert_to_tensor(g) for g in tape.gradient(total, [x, *values])]

    def ready(*batch):
        batch = [tf.constant(b) for b in batch]
        return lambda: float(train(*batch)[0])

    return ready


def jax_step(options, loss, variables):
    import jax
    import keras

    def stateless(x, values, t, w):
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            return loss(x, t, w)

    train = jax.jit(jax.value_and_grad(stateless, argnums=(0, 1)))

    def ready(x, t, w):
        x, t, w = (jax.numpy.asarray(a) for a in (x, t, w))
        values = [v.value for v in variables]
        return lambda: float(jax.block_until_ready(train(x, values, t, w))[0])

    return ready


def resident():
    """Resident memory in MiB, now and at its peak since the last call (Linux)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    return tuple(int(lines[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))


def worker(options):
    """Runs one implementation on request: a line on stdin gives one measured turn, answered by a line of JSON."""
    run, gemm = step(options, options.worker)
    before, _ = resident()
    losses = [run() for _ in range(3)]
    print(json.dumps({"loss": losses[0], "step_mib": resident()[1] - before}), flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(options.steps):
            run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        turn = {"seconds": wall / options.steps, "cpu_seconds": cpu / options.steps, "gemm": gemm()}
        print(json.dumps(turn), flush=True)


def measure(options):
    """Runs all implementations in turns and returns a row of figures for each."""
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND=options.backend)
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([root, environment.get("PYTHONPATH", "")])
    workers, rows = {}, {}
    for name in options.only:
        workers[name] = subprocess.Popen(
            [sys.executable, __file__, *sys.argv[1:], "--worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        first = workers[name].stdout.readline()
        if not first:
            raise SystemExit(f"{name} did not start: run with --worker {name} to see why")
        rows[name] = {**json.loads(first), "seconds": [], "cpu_seconds": [], "gemm": []}
    for _ in range(options.rounds):
        for name, process in workers.items():
            process.stdin.write("go\n")
            process.stdin.flush()
            for key, value in json.loads(process.stdout.readline()).items():
                rows[name][key].append(value)
    for process in workers.values():
        process.stdin.close()
        process.wait()
    return rows


def table(options, rows):
    """Prints times, the factor by which each is faster than what it is compared with (median of turns and quartiles;
    the last of CPU time), GFLOP/s of the matrix products it has to do, and what its steps add to resident memory."""
    print(
        f"{options.backend}, {options.tokens} tokens x {options.features} features, {'tied' if options.tied else 'own kernel'},"
        f" {options.threads} threads, {options.rounds} turns of {options.steps} steps"
    )
    print(
        f"{'softmax':14}{'words':>7}{'loss':>10}{'ms':>8}{'least':>8}{'CPU ms':>8}{'faster':>8}{'quartiles':>13}"
        f"{'CPU':>6}{'GFLOP/s':>9}{'GEMM':>6}{'MiB':>6}"
    )
    for name, row in rows.items():
        words, other = IMPLEMENTATIONS[name]
        taken, cpu = np.array(row["seconds"]), np.median(row["cpu_seconds"])
        base = rows.get(other, row)
        low, middle, high = np.percentile(np.array(base["seconds"]) / taken, [25, 50, 75])
        print(
            f"{name:14}{words:7}{row['loss']:10.1f}{np.median(taken) * 1e3:8.1f}{taken.min() * 1e3:8.1f}{cpu * 1e3:8.1f}"
            f"{middle:8.2f}{f'{low:.2f}-{high:.2f}':>13}{np.median(base['cpu_seconds']) / cpu:6.2f}"
            f"{flops(options, name, words) / np.median(taken) / 1e9:9.1f}{np.median(row['gemm']):6.0f}{row['step_mib']:6.0f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=["tensorflow", "jax"], default="tensorflow")
    parser.add_argument("--tokens", type=int, default=700, help="N")
    parser.add_argument("--features", type=int, default=200, help="D, and E where tied")
    parser.add_argument("--tied", action="store_true", help="a table is passed")
    parser.add_argument("--cutoffs", type=int, nargs="+", default=[2000, 10_000])
    parser.add_argument("--chunk-mib", type=float, help="memory for logits in MiB (default: the layers')")
    parser.add_argument("--text", help="words whose frequencies the targets have")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=3, help="steps a turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=IMPLEMENTATIONS, default=list(IMPLEMENTATIONS))
    parser.add_argument("--json", action="store_true", help="print all figures instead of the table")
    parser.add_argument("--worker", choices=IMPLEMENTATIONS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options)
    elif options.json:
        print(json.dumps(measure(options)))
    else:
        table(options, measure(options))


if __name__ == "__main__":
    main()
