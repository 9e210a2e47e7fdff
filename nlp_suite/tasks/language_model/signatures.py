"""Serving signatures of language modelling: prompts in, text out; texts in, log-probabilities out; all in one graph."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nlp_suite.decoding.generate import generate as generate_tokens
from nlp_suite.decoding.sampling import Options
from nlp_suite.export.cases import Case
from nlp_suite.export.signatures import Signatures, fill_empty_batch, first_rows
from nlp_suite.tasks.language_model.graph_text import GraphLines, any_stop, before_stop, shortest_with_stop
from nlp_suite.tasks.language_model.text import DEFAULT_TOKENS
from nlp_suite.tasks.shared.scores import MAX_NLL_PER_TOKEN
from nlp_suite.text.text_layer import END, PAD

if TYPE_CHECKING:
    from nlp_suite.tasks.language_model.predictor import LanguageModelPredictor

DEFAULTS: dict[str, Any] = {"temperature": 0.8, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0, "seed": 0}
NEXT_TOKENS = 10  # that `next` names


class LanguageModelSignatures(Signatures):
    """The signatures of a language model.

    * `serving_default`: `prompt` string `[B]` → `text` string `[B]` (the continuation), `log_prob` float `[B]` (natural
      logarithm, of all generated tokens together), `length` int32 `[B]` (their number). At most 50 tokens, temperature
      0.8, seed 0.
    * `generate`: the same with `max_tokens` int32, `temperature` float, `top_k` int32, `top_p` float,
      `repetition_penalty` float, `seed` int32 and `stop` string (empty: none), `[B]` each. `max_tokens` below 0 counts as
      0 and above `task.max_generated` as that; see `Options` for what other values out of range mean. (An assertion would
      fail the requests that a server batches with it.)
    * `score`: `text` string `[B]` → `log_prob`, `perplexity` (a token) float `[B]`, `num_tokens` and `length` int32
      `[B]`, `tokens` string `[B, T]`, `token_log_probs` float `[B, T]`; at and after `length` "" and 0; `truncated` bool
      `[B]`: whether the text had more than `task.max_scored` tokens, or a line more than `text.max_length`, or than
      `text.max_characters` characters. The rest is not read.
    * `next`: `prompt` string `[B]` → `tokens` string `[B, 10]`, `probabilities` float `[B, 10]`, the most probable first.

    Of a prompt the last `task.max_prompt` tokens are read. A `transformer` sees the last `task.window` tokens of what
    it goes on with, a `preset` all; both score in sliding windows of as many.

    Args:
        model: `LanguageModel`.
        predictor: the same model's `LanguageModelPredictor`.
    """

    predictor: "LanguageModelPredictor"

    def __init__(self, model, predictor):
        import tensorflow as tf

        super().__init__(model, predictor)
        self.text, self.settings = predictor.text, predictor.settings
        self.module.text = self.text.graph()
        self.surfaces = tf.constant(self.text.id_to_token(range(self.text.vocabulary_size)))  # [V]
        self.lines = GraphLines(self.module.text, self.text.tokenizer.reads_line_breaks)

    def functions(self) -> dict[str, Callable]:
        options = {"temperature": "float32", "top_k": "int32", "top_p": "float32", "repetition_penalty": "float32"}
        options = {"prompt": "string", "max_tokens": "int32", **options, "seed": "int32", "stop": "string"}
        self._generate = self.traced(self.generate, **{name: ([None], dtype) for name, dtype in options.items()})
        return {
            "serving_default": self.traced(self.serving_default, prompt=([None], "string")),
            "generate": self._generate,
            "score": self.traced(self.score, text=([None], "string")),
            "next": self.traced(self.next_tokens, prompt=([None], "string")),
        }

    def _encode_prompts(self, prompt):
        """The prompt's last tokens, and these after what is read before them, ragged `[B, (P)]` each."""
        import tensorflow as tf

        max_prompt, ends = self.settings.max_prompt, int(self.text.settings.add_end)
        ids = self.lines.encode_tail(prompt, max_prompt + ends)
        # Without an end of its own, an empty text is END.
        ids = ids[:, :-1] if ends else tf.ragged.boolean_mask(ids, ids != END)
        ids = ids[:, -max_prompt:]
        tokenizer, counts = self.text.tokenizer, tf.ones([tf.shape(prompt)[0]], tf.int64)  # [B]
        if not tokenizer.starts_prompts:
            counts = tf.cast(tf.equal(ids.row_lengths(), 0), tf.int64)
        start = tf.fill([tf.reduce_sum(counts)], tokenizer.document_start)
        return ids, tf.concat([tf.RaggedTensor.from_row_lengths(start, counts, validate=False), ids], axis=1)

    def _continuations(self, prompt, max_tokens, options, stop):
        import tensorflow as tf

        prompt_ids, ids = self._encode_prompts(prompt)
        limit, stop_at_end = self.settings.max_generated, self.predictor.stop_at_end
        answer = generate_tokens(
            self.model.logits_step,
            self.model.initial_state(tf.shape(prompt)[0], length=self.settings.max_prompt + limit),
            ids.to_tensor(PAD),
            tf.cast(ids.row_lengths(), tf.int32),
            tf.maximum(max_tokens, 0),
            options,
            limit=limit,
            end_token=END,
            forbidden=self.predictor.never_generated,
            stop_at_end=stop_at_end,
            read=self.model.read_prompt,
        )
        length = answer["length"]

        def text_of(length):
            new = tf.RaggedTensor.from_tensor(answer["tokens"], lengths=length)
            if stop_at_end:
                new = tf.ragged.boolean_mask(new, new != END)
            return self.lines.continuation(prompt_ids, new)

        text = text_of(length)

        def stopped():
            shorter = shortest_with_stop(text_of, length, stop)
            return shorter, before_stop(text_of(shorter), stop)

        length, text = tf.cond(tf.reduce_any(any_stop(text, stop)), stopped, lambda: (length, text))
        counted = tf.sequence_mask(length, limit, tf.float32)
        log_prob = tf.reduce_sum(answer["token_log_probs"] * counted, axis=1)
        return {"text": text, "log_prob": log_prob, "length": length}

    def serving_default(self, prompt) -> dict[str, Any]:
        import tensorflow as tf

        prompt = tf.reshape(prompt, [-1])  # servers let a scalar pass
        defaults = [min(DEFAULT_TOKENS, self.settings.max_generated), *map(DEFAULTS.get, Options._fields), ""]
        answers: dict[str, Any] = self._generate(prompt, *(tf.fill(tf.shape(prompt), value) for value in defaults))
        return answers

    def generate(self, prompt, max_tokens, temperature, top_k, top_p, repetition_penalty, seed, stop) -> dict[str, Any]:
        import tensorflow as tf

        stop = tf.strings.unicode_transcode(stop, "UTF-8", "UTF-8", errors="replace")
        options = (temperature, top_k, top_p, repetition_penalty, seed)
        (prompt, max_tokens, *filled, stop), rows = fill_empty_batch(prompt, max_tokens, *options, stop)
        return first_rows(self._continuations(prompt, max_tokens, Options(*filled), stop), rows)

    def score(self, text) -> dict[str, Any]:
        import tensorflow as tf

        (text,), rows = fill_empty_batch(text)
        if not self.text.tokenizer.reads_line_breaks:
            text = tf.strings.regex_replace(text, "\n\\z", "")
        all_ids, cut = self.lines.encode(text)
        ids = all_ids[:, : self.settings.max_scored]
        targets, length = ids.to_tensor(PAD), tf.cast(ids.row_lengths(), tf.int32)  # [B, T], [B]
        mask = tf.sequence_mask(length, tf.shape(targets)[1])
        inputs = tf.pad(targets[:, :-1], [[0, 0], [1, 0]], constant_values=self.text.tokenizer.document_start)
        nll = self._windowed_nll(tf.where(mask, inputs, PAD), targets)
        log_probs = tf.where(mask, -nll, 0.0)
        total = tf.reduce_sum(log_probs, axis=1)
        outputs = {
            "log_prob": total,
            "perplexity": tf.exp(tf.minimum(-total / tf.cast(length, tf.float32), MAX_NLL_PER_TOKEN)),
            "num_tokens": length,
            "tokens": tf.where(mask, tf.gather(self.surfaces, targets), ""),
            "token_log_probs": log_probs,
            "length": length,
            "truncated": cut | (all_ids.row_lengths() > self.settings.max_scored),
        }
        return first_rows(outputs, rows)

    def _windowed_nll(self, tokens, targets):
        """Negative log-likelihood `[B, T]`; where the network has a window, in overlapping ones (`SlidingWindows`)."""
        import tensorflow as tf

        window = self.predictor.window
        if not window:
            return self.model.nll(tokens, targets)
        rows, total = tf.shape(tokens)[0], tf.shape(tokens)[1]
        context = tf.where(total > window, self.settings.context_tokens, 0)
        width = tf.minimum(total, window)
        stride = width - context
        count = 1 + (total - width + stride - 1) // stride  # windows
        positions = tf.range(count)[:, None] * stride + tf.range(width)  # [count, width]
        inside = positions < total

        def frames(values):
            cut = tf.gather(values, tf.minimum(positions, total - 1), axis=1)  # [B, count, width]
            return tf.where(inside, cut, PAD)

        read = frames(tokens)
        if self.model.always_starts:
            again = (context > 0) & (tf.range(width) < 1) & inside  # [count, width]
            read = tf.where(again, self.model.start_token, read)
        flat = [tf.reshape(values, [-1, width]) for values in (read, frames(targets))]
        nll = tf.reshape(self._bounded_nll(*flat), [rows, count, width])
        later = tf.reshape(nll[:, 1:, context:], [rows, (count - 1) * stride])
        return tf.concat([nll[:, 0], later], axis=1)[:, :total]

    def _bounded_nll(self, tokens, targets):
        """As `LanguageModel.nll` of rows `[N, T]`, no more tokens at a time than a batch of an evaluation has."""
        import tensorflow as tf

        settings, count = self.settings, tf.shape(tokens)[0]
        at_a_time = tf.maximum(settings.evaluation_batch_size * settings.window // tf.shape(tokens)[1], 1)
        steps = (count + at_a_time - 1) // at_a_time
        parts = tf.TensorArray("float32", size=steps, infer_shape=False, element_shape=[None, None])

        def body(step, parts):
            rows = slice(step * at_a_time, (step + 1) * at_a_time)
            return step + 1, parts.write(step, self.model.nll(tokens[rows], targets[rows]))

        # One step after the other: several at a time would need the memory of several.
        _, parts = tf.while_loop(lambda step, _: step < steps, body, (0, parts), parallel_iterations=1)
        return parts.concat()

    def next_tokens(self, prompt) -> dict[str, Any]:
        import tensorflow as tf

        (prompt,), rows = fill_empty_batch(prompt)
        _, ids = self._encode_prompts(prompt)
        if self.predictor.prompt_window:
            ids = ids[:, -self.predictor.prompt_window :]
        log_probs = self.model.last_log_probs(ids.to_tensor(PAD), tf.cast(ids.row_lengths(), tf.int32))
        best, tokens = tf.math.top_k(log_probs, min(NEXT_TOKENS, self.text.vocabulary_size))
        return first_rows({"tokens": tf.gather(self.surfaces, tokens), "probabilities": tf.exp(best)}, rows)

    def cases(self, texts: Sequence[bytes]) -> list[Case]:
        """One request of every signature; the beginnings of some texts are the prompts.

        Generated text is expected only for prompts where no choice was between two tokens that are as good as equal, and
        scores only of texts that `score` reads whole.
        """
        predictor, settings = self.predictor, self.settings
        prompts = _stable(predictor, [_beginning(text) for text in texts])
        count = len(prompts)
        options: dict[str, Any] = {"temperature": 0.7, "top_k": 20, "top_p": 0.9, "repetition_penalty": 1.2}
        max_tokens, seeds = min(12, settings.max_generated), list(range(count))
        inputs = {
            "prompt": list(prompts),
            "max_tokens": np.full(count, max_tokens, "int32"),
            "seed": np.array(seeds, "int32"),
            "stop": [b"e"] * count,
            **{key: np.full(count, value, "int32" if key == "top_k" else "float32") for key, value in options.items()},
        }
        fitting = [text for text, row in zip(texts, predictor.encode(texts)) if len(row) <= settings.max_scored]
        fitting = fitting or [b""]
        next_tokens = predictor.next_tokens(prompts, min(NEXT_TOKENS, self.text.vocabulary_size))
        probabilities = np.array([[p for _, p in row] for row in next_tokens], "float32")
        sampled = predictor.generate(prompts, max_tokens=max_tokens, seed=seeds, stop=["e"], **options)
        return [
            Case("serving_default", {"prompt": list(prompts)}, _expected(predictor.generate(prompts, **DEFAULTS))),
            Case("generate", inputs, _expected(sampled)),
            Case("score", {"text": fitting}, _expected_scores(predictor.score(fitting))),
            Case("next", {"prompt": list(prompts)}, {"probabilities": probabilities}),
        ]


def _beginning(text: bytes) -> bytes:
    """A prompt of the first words of a text."""
    return b" ".join(text.split(b" ")[:6])[:80]


def _stable(predictor, prompts) -> list[bytes]:
    """Up to 8 prompts that are continued alike at slightly different temperatures."""
    variants = [{**DEFAULTS, "temperature": DEFAULTS["temperature"] * (1 + change)} for change in (-1e-4, 0.0, 1e-4)]
    answers = [[a["text"] for a in predictor.generate(prompts, **variant)] for variant in variants]
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
