"""Serving signatures of language modelling: prompts in, text out; texts in, log-probabilities out; all in one graph.

Every input and output has the batch in dim 0, and a row's answer does not depend on the rows beside it.
"""

import numpy as np

from nlp_suite.decoding.generate import generate as generate_tokens
from nlp_suite.decoding.sampling import Options
from nlp_suite.tasks.language_model.predictor import FORBIDDEN, MOST_NATS, LanguageInference
from nlp_suite.tasks.language_model.text import DEFAULT_TOKENS
from nlp_suite.text.text_layer import END, PAD

METHODS = {}
EXAMPLE = "The "
DEFAULTS = {"temperature": 0.8, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0, "seed": 0}
NEXT = 10  # tokens that `next` names


def signatures(model, inference: LanguageInference):
    """Traces the signatures of a language model.

    * `serving_default`: `prompt` string `[B]` → `text` string `[B]` (the continuation), `log_prob` float `[B]` (natural
      logarithm, of all generated tokens together), `length` int32 `[B]` (their number). At most 50 tokens, temperature
      0.8, seed 0.
    * `generate`: the same with `max_tokens` int32, `temperature` float, `top_k` int32, `top_p` float,
      `repetition_penalty` float, `seed` int32 and `stop` string (empty: none), `[B]` each. `max_tokens` below 0 counts as
      0 and above `task.max_generated` as that; see `Options` for what other values out of range mean.
    * `score`: `text` string `[B]` → `log_prob`, `perplexity` (a token) float `[B]`, `num_tokens` and `length` int32
      `[B]`, `tokens` string `[B, T]`, `token_log_probs` float `[B, T]`; at and after `length` "" and 0; `truncated` bool
      `[B]`: whether the text had more than `task.max_scored` tokens, or a line more than `text.max_length`. The rest is
      not read.
    * `next`: `prompt` string `[B]` → `tokens` string `[B, 10]`, `probabilities` float `[B, 10]`, the most probable first.

    Of a prompt the last `task.max_prompt` tokens are read. A Transformer sees the last `task.window` tokens when it
    generates, and scores in sliding windows of as many.

    Args:
        model: `LanguageModel`, under the TensorFlow backend.
        inference: the same model at work in Python: its text layer and limits.

    Returns:
        A `tf.Module` that holds all resources, and a mapping of signature names to functions.
    """
    import tensorflow as tf

    text, settings = inference.text, inference.settings
    module = tf.Module()
    module.text = text.graph()
    module.weights = [variable.value for variable in model.variables]
    surfaces = tf.constant(text.id_to_token(range(text.vocabulary_size)))  # [V]
    lines = _Lines(module.text, text.settings.max_length)

    def prompts_of(prompt):
        """END and the prompt's last tokens, ragged `[B, (P)]`."""
        ids = lines.encode_ends(prompt, settings.max_prompt + 1)[:, :-1][:, -settings.max_prompt :]
        start = tf.RaggedTensor.from_tensor(tf.fill([tf.shape(prompt)[0], 1], END))
        return tf.concat([start, ids], axis=1)

    def continuations(prompt, max_tokens, options, stop):
        ids = prompts_of(prompt)
        answer = generate_tokens(
            model.step,
            model.initial_state(tf.shape(prompt)[0]),
            ids.to_tensor(PAD),
            tf.cast(ids.row_lengths(), tf.int32),
            tf.maximum(max_tokens, 0),
            options,
            limit=settings.max_generated,
            end_token=END,
            forbidden=FORBIDDEN,
            stop_at_end=inference.stop_at_end,
        )
        given, length = ids[:, 1:], answer["length"]

        def text_of(length):
            new = tf.RaggedTensor.from_tensor(answer["tokens"], lengths=length)
            if inference.stop_at_end:
                new = tf.ragged.boolean_mask(new, new != END)
            return lines.continuation(given, new)

        found = text_of(length)
        if stop is not None:
            length = tf.cond(
                tf.reduce_any(_holds(found, stop)), lambda: _shortest(text_of, length, stop), lambda: length
            )
            found = _before(text_of(length), stop)
        counted = tf.sequence_mask(length, settings.max_generated, tf.float32)
        log_prob = tf.reduce_sum(answer["token_log_probs"] * counted, axis=1)
        return {"text": found, "log_prob": log_prob, "length": length}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="prompt")])
    def serving_default(prompt):
        prompt, rows = _at_least_one(prompt)
        count = tf.shape(prompt)[0]
        options = Options(*(tf.fill([count], tf.constant(DEFAULTS[name])) for name in Options._fields))
        most = tf.fill([count], min(DEFAULT_TOKENS, settings.max_generated))
        return _first(continuations(prompt, most, options, None), rows)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="prompt"),
            tf.TensorSpec([None], tf.int32, name="max_tokens"),
            tf.TensorSpec([None], tf.float32, name="temperature"),
            tf.TensorSpec([None], tf.int32, name="top_k"),
            tf.TensorSpec([None], tf.float32, name="top_p"),
            tf.TensorSpec([None], tf.float32, name="repetition_penalty"),
            tf.TensorSpec([None], tf.int32, name="seed"),
            tf.TensorSpec([None], tf.string, name="stop"),
        ]
    )
    def generate(prompt, max_tokens, temperature, top_k, top_p, repetition_penalty, seed, stop):
        stop = tf.strings.unicode_transcode(stop, "UTF-8", "UTF-8", errors="replace")
        given = (prompt, max_tokens, temperature, top_k, top_p, repetition_penalty, seed, stop)
        (prompt, max_tokens, *options, stop), rows = _all_at_least_one(given)
        return _first(continuations(prompt, max_tokens, Options(*options), stop), rows)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def score(text):
        text, rows = _at_least_one(text)
        whole, cut = lines.encode(tf.strings.regex_replace(text, "\n\\z", ""))
        ids = whole[:, : settings.max_scored]
        targets, length = ids.to_tensor(PAD), tf.cast(ids.row_lengths(), tf.int32)  # [B, T], [B]
        places = tf.sequence_mask(length, tf.shape(targets)[1])
        before = tf.pad(targets[:, :-1], [[0, 0], [1, 0]], constant_values=END)
        nll = _windowed(model, tf.where(places, before, PAD), targets, inference.window, settings.context_tokens)
        log_probs = tf.where(places, -nll, 0.0)
        total = tf.reduce_sum(log_probs, axis=1)
        outputs = {
            "log_prob": total,
            "perplexity": tf.exp(tf.minimum(-total / tf.cast(length, tf.float32), MOST_NATS)),
            "num_tokens": length,
            "tokens": tf.where(places, tf.gather(surfaces, targets), ""),
            "token_log_probs": log_probs,
            "length": length,
            "truncated": cut | (whole.row_lengths() > settings.max_scored),
        }
        return _first(outputs, rows)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="prompt")])
    def next_tokens(prompt):
        prompt, rows = _at_least_one(prompt)
        ids = prompts_of(prompt)
        if inference.window:
            ids = ids[:, -inference.window :]
        log_probs = model.last_log_probs(ids.to_tensor(PAD), tf.cast(ids.row_lengths(), tf.int32))
        best, tokens = tf.math.top_k(log_probs, min(NEXT, text.vocabulary_size))
        return _first({"tokens": tf.gather(surfaces, tokens), "probabilities": tf.exp(best)}, rows)

    return module, {"serving_default": serving_default, "generate": generate, "score": score, "next": next_tokens}


class _Lines:
    """Texts of several lines to ids and back: END ends a line.

    Args:
        graph: the `TextGraph`.
        max_length: tokens of a line that it keeps.
    """

    def __init__(self, graph, max_length: int):
        self._graph, self._max_length = graph, max_length

    def encode(self, texts):
        """tf.string `[B]` → ids, ragged int32 `[B, (T)]`, and whether a line was cut, bool `[B]`.

        Every line, the last too, ends with END.
        """
        import tensorflow as tf

        lines = tf.strings.split(texts, "\n")  # [B, (lines)]
        values, lengths, full = self._graph.encode_flat(lines.flat_values)
        cut = tf.reduce_any(lines.with_flat_values(full > self._max_length), axis=1)  # [B]
        return _of_texts(lines, values, lengths), cut

    def encode_ends(self, texts, most: int):
        """As `encode`, with the last `most` ids of every line; ids only."""
        import tensorflow as tf

        lines = tf.strings.split(texts, "\n")  # [B, (lines)]
        values, lengths, _ = self._graph.encode_ends(lines.flat_values, most)
        return _of_texts(lines, values, lengths)

    def decode(self, ids):
        """Ragged ids `[B, (T)]` → tf.string `[B]`, valid UTF-8, a line break for every END."""
        import tensorflow as tf

        ends = tf.RaggedTensor.from_tensor(tf.fill([ids.nrows(), 1], END))
        flat = tf.concat([ids, ends], axis=1)  # every line now ends with END
        last = tf.where(tf.equal(flat.flat_values, END))[:, 0]
        lines = tf.RaggedTensor.from_row_splits(flat.flat_values, tf.concat([[0], last + 1], 0), validate=False)
        texts = self._graph.decode(lines.to_tensor(PAD), tf.cast(lines.row_lengths(), tf.int32))  # [lines]
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        counts = tf.reduce_sum(tf.cast(tf.equal(flat, END), tf.int64), axis=1)  # [B]
        ended = tf.RaggedTensor.from_row_lengths(tf.strings.join([texts, "\n"]), counts, validate=False)
        joined = tf.strings.reduce_join(
            ended, axis=-1
        )  # [B]; with a separator it would drop empty lines at the beginning
        size = tf.strings.length(joined) - 1  # without the break after the last line
        return tf.strings.substr(joined, tf.zeros_like(size), size)

    def continuation(self, given, new):
        """What the text of `given + new` has after that of `given`; ragged ids `[B, (T)]` each → tf.string `[B]`."""
        import tensorflow as tf

        before, whole = self.decode(given), self.decode(tf.concat([given, new], axis=1))
        size = tf.minimum(tf.strings.length(before), tf.strings.length(whole))  # [B] bytes
        follows = tf.equal(tf.strings.substr(whole, tf.zeros_like(size), size), before)
        rest = tf.strings.substr(whole, size, tf.strings.length(whole) - size)
        return tf.where(follows, rest, self.decode(new))


def _of_texts(lines, values, lengths):
    """Ids of lines, `lengths` of them each, as ids of their texts, ragged int32 `[B, (T)]`."""
    import tensorflow as tf

    counts = tf.reduce_sum(lines.with_flat_values(tf.cast(lengths, tf.int64)), axis=1)  # [B]
    return tf.RaggedTensor.from_row_lengths(values, counts, validate=False)


def _windowed(model, tokens, targets, window, context):
    """Negative log-likelihood `[B, T]`; where the network has a window, in overlapping ones (`SlidingWindows`)."""
    import tensorflow as tf

    if not window:
        return model.nll(tokens, targets)
    rows, total = tf.shape(tokens)[0], tf.shape(tokens)[1]
    context = tf.where(total > window, context, 0)
    width = tf.minimum(total, window)
    stride = width - context
    count = 1 + (total - width + stride - 1) // stride  # windows
    places = tf.range(count)[:, None] * stride + tf.range(width)  # [count, width]
    inside = places < total

    def frames(values):
        cut = tf.gather(values, tf.minimum(places, total - 1), axis=1)  # [B, count, width]
        return tf.reshape(tf.where(inside, cut, PAD), [-1, width])

    nll = tf.reshape(model.nll(frames(tokens), frames(targets)), [rows, count, width])
    later = tf.reshape(nll[:, 1:, context:], [rows, (count - 1) * stride])
    return tf.concat([nll[:, 0], later], axis=1)[:, :total]


def _split(texts, stop):
    """Each text `[B]` at its stop string `[B]`: the part before it, and whether it occurs; an empty one never does."""
    import tensorflow as tf

    def one(pair):
        # The stop string is put before the text too, so that the first part is empty and splitting is always defined.
        separator = tf.where(tf.equal(pair[1], ""), "\x00", pair[1])  # generated text holds no NUL
        parts = tf.strings.split(pair[0], separator)
        return tf.concat([parts, [""]], 0)[0], tf.size(parts) > 1

    spec = (tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.bool))
    return tf.map_fn(one, (texts, stop), fn_output_signature=spec)


def _holds(texts, stop):
    return _split(texts, stop)[1]


def _before(texts, stop):
    return _split(texts, stop)[0]


def _shortest(text_of, length, stop):
    """The least number of tokens `[B]` whose text holds the stop string, by bisection; `length` where none does."""
    import tensorflow as tf

    def body(low, high):
        middle = (low + high) // 2
        holds = _holds(text_of(middle), stop)
        return tf.where(holds, low, tf.minimum(middle + 1, high)), tf.where(holds, middle, high)

    return tf.while_loop(lambda low, high: tf.reduce_any(low < high), body, (tf.zeros_like(length), length))[1]


def _at_least_one(texts):
    """An empty batch gets one row; also the number of rows there were."""
    (texts,), rows = _all_at_least_one((texts,))
    return texts, rows


def _all_at_least_one(columns):
    import tensorflow as tf

    rows = tf.shape(columns[0])[0]
    extra = tf.cast(tf.equal(rows, 0), tf.int32)
    filled = [
        tf.concat(
            [
                tf.reshape(column, [-1]),
                tf.fill([extra], tf.constant("" if column.dtype == tf.string else 0, column.dtype)),
            ],
            0,
        )
        for column in columns
    ]
    return filled, rows


def _first(outputs, rows):
    return {name: value[:rows] for name, value in outputs.items()}


def cases(inference: LanguageInference, texts: list[bytes]) -> list:
    """Requests with expected answers: one of every signature.

    Args:
        inference: the model in Python.
        texts: N texts; the beginnings of some are the prompts.

    Returns:
        (signature, inputs, expected outputs) of each. Generated text is expected only for prompts where no choice was
        between two tokens that are as good as equal, and scores only of texts that `score` reads whole.
    """
    prompts = _stable(inference, [_beginning(text) for text in texts])
    answers = inference.generate(prompts, **DEFAULTS)
    options = {"temperature": 0.7, "top_k": 20, "top_p": 0.9, "repetition_penalty": 1.2}
    few = min(12, inference.settings.max_generated)
    seeds = list(range(len(prompts)))
    chosen = inference.generate(prompts, max_tokens=few, seed=seeds, stop=["e"], **options)
    count = len(prompts)
    inputs = {
        "prompt": list(prompts),
        "max_tokens": np.full(count, few, "int32"),
        "seed": np.array(seeds, "int32"),
        "stop": [b"e"] * count,
        **{key: np.full(count, value, "int32" if key == "top_k" else "float32") for key, value in options.items()},
    }
    fitting = [text for text, row in zip(texts, inference.encode(texts)) if len(row) <= inference.settings.max_scored]
    fitting = fitting or [b""]
    scores = inference.score(fitting)
    following = inference.next_tokens(prompts, min(NEXT, inference.text.vocabulary_size))
    return [
        ("serving_default", {"prompt": list(prompts)}, _expected(answers)),
        ("generate", inputs, _expected(chosen)),
        ("score", {"text": fitting}, _expected_scores(scores)),
        (
            "next",
            {"prompt": list(prompts)},
            {"probabilities": np.array([[p for _, p in row] for row in following], "float32")},
        ),
    ]


def _beginning(text: bytes) -> bytes:
    """A prompt of the first words of a text."""
    return b" ".join(text.split(b" ")[:6])[:80]


def _stable(inference, prompts) -> list[bytes]:
    """Up to 8 prompts that are continued alike at slightly different temperatures."""
    ways = [{**DEFAULTS, "temperature": DEFAULTS["temperature"] * (1 + change)} for change in (-1e-4, 0.0, 1e-4)]
    answers = [[a["text"] for a in inference.generate(prompts, **way)] for way in ways]
    return [prompt for prompt, *texts in zip(prompts, *answers) if len(set(texts)) == 1][:8] or list(prompts[:1])


def _expected(answers) -> dict:
    return {
        "text": [answer["text"].encode("utf-8") for answer in answers],
        "log_prob": np.array([answer["log_prob"] for answer in answers], "float32"),
        "length": np.array([answer["length"] for answer in answers], "int32"),
    }


def _expected_scores(scores) -> dict:
    longest = max(score["num_tokens"] for score in scores)
    padded = np.zeros((len(scores), longest), "float32")  # [N, T]
    for row, score in zip(padded, scores):
        row[: score["num_tokens"]] = score["token_log_probs"]
    lengths = np.array([score["num_tokens"] for score in scores], "int32")
    return {
        "log_prob": np.array([score["log_prob"] for score in scores], "float32"),
        "perplexity": np.array([score["perplexity"] for score in scores], "float32"),
        "num_tokens": lengths,
        "length": lengths,
        "truncated": np.array([score["truncated"] for score in scores]),
        "token_log_probs": padded,
        "tokens": [
            [token.encode("utf-8") for token in score["tokens"]] + [b""] * (longest - score["num_tokens"])
            for score in scores
        ],
    }
