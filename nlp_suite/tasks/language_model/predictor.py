"""A trained language model in Python: scores of texts, next tokens, generation, under any backend."""

from collections.abc import Iterator, Sequence

import numpy as np
from keras import ops

from nlp_suite.data.windows import SlidingWindows, window_arrays
from nlp_suite.decoding.beam_search import beam_search
from nlp_suite.decoding.generate import generate, make_advance, stream
from nlp_suite.decoding.sampling import Options
from nlp_suite.tasks.language_model.rows import TextRows
from nlp_suite.tasks.language_model.text import (
    BATCH_ROWS,
    before_stop,
    contains_any,
    search_options,
    stop_strings,
    token_counts,
    unchanging_prefix,
)
from nlp_suite.tasks.shared.compiled import compiled
from nlp_suite.tasks.shared.request_checks import checked_int, round_up
from nlp_suite.tasks.shared.scores import score_answer
from nlp_suite.text.text_layer import END, NEVER_GENERATED, PAD

CHUNK_TOKENS = 256  # tokens that a recurrent network scores at a time
# Of windows that are scored at a time: few counts, as a compiling backend compiles each.
_WINDOW_ROWS = (1, 4, BATCH_ROWS)


class LanguageModelPredictor(TextRows):
    """Scores and generates with a network and its text layer.

    How it reads a text, `TextRows` says.

    Args:
        model: `LanguageModel`, built.
        text: the `TextLayer` it was trained with.
        settings: the task's settings (window, context, limits).
        stop_at_end: whether generation ends at an END; otherwise it is a line break.

    Attributes:
        window: tokens that are scored at a time; None for a backbone that carries its state, which has no such limit.
        never_generated: ids that no continuation has.
    """

    task_name = "language_model"

    def __init__(self, model, text, settings, stop_at_end: bool):
        super().__init__(text, settings.max_prompt)
        self.model, self.settings, self.stop_at_end = model, settings, stop_at_end
        self.window = None if model.backbone.carries_state else settings.window
        self.prompt_window = self.window if model.backbone.context_limit else None  # others read a prompt whole
        self.never_generated = (*NEVER_GENERATED, *text.tokenizer.without_piece)
        self._nll = compiled(self._nll_of, model)
        self._nll_step = compiled(self._nll_with_state, model)
        self._last = compiled(self._last_log_probs, model)
        self._generate = compiled(self._generate_rows, model, static=("limit", "end", "ends"))
        self._beam = compiled(self._beam_rows, model, static=("beam_size", "limit", "end", "ends"))
        self._streams: dict[tuple, tuple] = {}  # how a text ends → what is compiled when first asked for

    # scores

    def score(self, texts: Sequence[str | bytes]) -> list[dict]:
        """Log-probabilities of whole texts.

        Returns:
            For each `{"log_prob", "perplexity" (a token), "num_tokens", "tokens", "token_log_probs", "truncated"}`, natural
            logarithms; `truncated`: whether a line was cut at the text layer's `max_length` or `max_characters`.
        """
        rows, truncated = self.encode_checked(texts)
        named = zip(rows, self.nll(rows), truncated)
        return [score_answer(-nll, self.text.id_to_token(row), cut) for row, nll, cut in named]

    def nll(self, rows: Sequence[np.ndarray], start: int | None = None) -> list[np.ndarray]:
        """Negative log-likelihood of every token of every row, float32 `[T_i]`.

        Args:
            rows: token ids.
            start: what is read before each; default: what is read before a document.

        A recurrent network reads all that stands before a token; a Transformer the window it was trained with, of which
        `context` tokens are read again.
        """
        answer = [np.zeros(len(row), "float32") for row in rows]
        if not answer:
            return answer
        start = self.start if start is None else start
        if self.window:
            self._nll_in_windows(rows, answer, start)
            return answer
        order = np.argsort([len(row) for row in rows], kind="stable")
        for start in range(0, len(order), BATCH_ROWS):
            batch = order[start : start + BATCH_ROWS]
            targets = self.text.pad([rows[i] for i in batch], round_up(max(len(rows[i]) for i in batch)))
            targets = np.pad(targets, ((0, BATCH_ROWS - len(batch)), (0, 0)))
            tokens = np.concatenate([np.full((BATCH_ROWS, 1), self.start, "int32"), targets[:, :-1]], axis=1)
            tokens[targets == PAD] = PAD
            state = self.model.initial_state(BATCH_ROWS)
            parts = []
            for begin in range(0, targets.shape[1], CHUNK_TOKENS):
                chunk = slice(begin, begin + CHUNK_TOKENS)
                nll, state = self._nll_step(tokens[:, chunk], targets[:, chunk], state)
                parts.append(ops.convert_to_numpy(nll))
            losses = np.concatenate(parts, axis=1)
            for row, i in enumerate(batch):
                answer[i][:] = losses[row, : len(rows[i])]
        return answer

    def _nll_in_windows(self, texts, answer, start):
        flat = np.concatenate([*texts, np.zeros(1, "int32")])  # [N+1]
        edges = np.cumsum([0, *(len(text) for text in texts)])
        window = min(self.window, round_up(max(len(text) for text in texts)))
        context = self.settings.context_tokens if window == self.window else 0
        always_starts = self.model.always_starts
        needed = SlidingWindows(edges, 1, window, context, always_starts).steps_per_epoch
        rows = next((count for count in _WINDOW_ROWS if count >= needed), BATCH_ROWS)
        rows = min(rows, self.settings.evaluation_batch_size)
        windows = SlidingWindows(edges, rows, window, context, always_starts)
        losses = np.zeros(len(flat), "float32")
        for n in range(windows.steps_per_epoch):
            arrays = window_arrays(flat, windows[n], start)
            nll = ops.convert_to_numpy(self._nll(arrays["tokens"], arrays["targets"]))  # [B, T]
            positions = windows[n].begin[:, None] + np.arange(window)
            counted = arrays["weights"] > 0
            losses[positions[counted]] = nll[counted]
        for values, begin in zip(answer, edges):
            values[:] = losses[begin : begin + len(values)]

    def _nll_of(self, tokens, targets):
        return self.model.nll(tokens, targets)

    def _nll_with_state(self, tokens, targets, state):
        return self.model.nll(tokens, targets, state)

    def all_log_probs(self, row) -> np.ndarray:
        """Log-probabilities of every token of the vocabulary at every place of one row, float32 `[T, V]`."""
        tokens = np.concatenate([[self.start], row[:-1]]).astype("int32")
        if self.window:
            tokens = tokens[: self.window]
        return ops.convert_to_numpy(self.model(tokens[None], training=False))[0]

    # next tokens

    def next_tokens(self, prompts: Sequence[str | bytes], top: int = 10) -> list[list[tuple[str, float]]]:
        """The `top` most probable next tokens after every prompt, with their probabilities."""
        top = checked_int("top", top, 1, self.text.vocabulary_size, "the vocabulary's size")
        rows = self.encode_prompts(prompts)
        answers = []
        for start in range(0, len(rows), BATCH_ROWS):
            prompt, length = self.padded(
                rows[start : start + BATCH_ROWS], self.text.tokenizer.starts_prompts, self.prompt_window
            )
            log_probs = ops.convert_to_numpy(self._last(prompt, length))[: len(rows[start : start + BATCH_ROWS])]
            for row in log_probs:
                best = np.argsort(-row, kind="stable")[:top]
                answers.append(list(zip(self.text.id_to_token(best), np.exp(row[best].astype("float64")).tolist())))
        return answers

    def _last_log_probs(self, tokens, length):
        return self.model.last_log_probs(tokens, length)

    # generation

    def generate(
        self,
        prompts: Sequence[str | bytes] = (),
        *,
        chat: Sequence = (),
        max_tokens: int | Sequence[int] | None = None,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        seed=0,
        stop: Sequence[str] = (),
        beam_size: int = 1,
        length_penalty: float = 0.0,
    ) -> list[dict]:
        """Continues prompts.

        Args:
            prompts: texts to continue; an empty one begins a document.
            chat: in place of prompts a conversation, `[{"role": "user", "content": …}]`, or several, which the model answers:
                by the chat template that came with the tokenizer of a pretrained model.
            max_tokens: how many tokens at most, one number or one a prompt; 0 gives an empty text. Default: 50, or
                `max_generated` where that is less.
            temperature: 0 takes the most probable token each time.
            top_k: see `nlp_suite.decoding.sampling.Options`, as for the next three; one value or one a prompt.
            top_p: likewise.
            repetition_penalty: likewise.
            seed: likewise.
            stop: strings that end a text; it is cut before the first of them. Empty ones end nothing.
            beam_size: above 1 (1,024 at most), a beam search instead of sampling: the options of sampling must then be
                left alone.
            length_penalty: of the beam search, 0 or above, see `beam_search`.

        Returns:
            For each prompt `{"text", "log_prob", "length"}`: the continuation, and the natural log-probability and number
            of its tokens. (With `stop`, those up to the token that completed the stop string; after a beam search with
            `stop` they are scored anew, as by `score`.)

        Raises:
            RequestError: an option out of range, options that exclude each other, or a chat that the model cannot be given.
        """
        limit, given = self.settings.max_generated, self.read_prompts(prompts, chat, self.stop_at_end)
        counts = token_counts(max_tokens, len(given.rows), limit)
        stop = stop_strings(stop)
        sampling = {"temperature": (temperature, 1.0), "top_k": (top_k, 0), "top_p": (top_p, 1.0)}
        sampling |= {"repetition_penalty": (repetition_penalty, 1.0), "seed": (seed, 0)}
        beam_size, length_penalty = search_options(beam_size, length_penalty, **sampling)
        options = Options.broadcast(len(counts), **{name: value for name, (value, _) in sampling.items()})
        if not given.rows:
            return []
        prompt, length = self.padded(given.rows, given.starts)
        ending = {"limit": limit, "end": given.end, "ends": given.ends}
        if beam_size == 1:
            tokens, log_probs = self._sampled_answers(prompt, length, counts, options, ending)
        else:
            tokens, log_probs = self._beam_answers(prompt, length, counts, beam_size, length_penalty, ending)
            if stop:
                log_probs = [self._log_probs_of(*row, given.starts) for row in zip(given.rows, tokens)]
        return [self._answer(*row, stop, given) for row in zip(given.rows, tokens, log_probs)]

    def _sampled_answers(self, prompt, length, counts, options, ending):
        """Token ids and their log-probabilities of every row, in batches."""
        tokens, log_probs = [], []
        for start in range(0, len(prompt), BATCH_ROWS):
            rows = slice(start, start + BATCH_ROWS)
            batch_options = Options(*(option[rows] for option in options))
            answer = self._generate(prompt[rows], length[rows], counts[rows], batch_options, **ending)
            answer = {name: ops.convert_to_numpy(value) for name, value in answer.items()}
            for row, count, row_log_probs in zip(answer["tokens"], answer["length"], answer["token_log_probs"]):
                tokens.append(row[:count])
                log_probs.append(row_log_probs[:count])
        return tokens, log_probs

    def _initial_state(self, prompt, limit):
        """The state before a prompt `[B, P]` and at most `limit` more tokens."""
        return self.model.initial_state(ops.shape(prompt)[0], length=(prompt.shape[1] or 0) + limit)

    def _generate_rows(self, prompt, length, counts, options, *, limit, end, ends):
        return generate(
            self.model.logits_step,
            self._initial_state(prompt, limit),
            prompt,
            length,
            counts,
            options,
            limit=limit,
            end_token=end,
            forbidden=self.never_generated,
            stop_at_end=ends,
            read=self.model.read_prompt,
        )

    def _beam_answers(self, prompt, length, counts, beam_size, length_penalty, ending):
        """As `_sampled_answers`, of the best hypothesis; its log-probability stands at its last token."""
        tokens, log_probs = [], []
        for start in range(0, len(prompt), BATCH_ROWS):
            rows = slice(start, start + BATCH_ROWS)
            best = self._beam(
                prompt[rows],
                length[rows],
                counts[rows],
                np.full(len(length[rows]), length_penalty, "float32"),  # a plain number would be compiled anew
                beam_size=beam_size,
                **ending,
            )
            best = {name: ops.convert_to_numpy(value)[:, 0] for name, value in best.items()}
            for row, count, total in zip(best["tokens"], best["length"], best["log_prob"]):
                tokens.append(row[:count])
                log_probs.append(np.append(np.zeros(max(count - 1, 0)), total if count else [])[:count])
        return tokens, log_probs

    def _log_probs_of(self, prompt, tokens, starts):
        """Log-probabilities `[n]` of n tokens after a prompt."""
        if not len(tokens):
            return np.zeros(0)
        row, start = np.concatenate([prompt, tokens]).astype("int32"), self.start
        if len(prompt) and not starts:
            start, row = row[0], row[1:]
        return -self.nll([row], start)[0][-len(tokens) :]

    def _beam_rows(self, prompt, length, counts, length_penalty, *, limit, beam_size, end, ends):
        return beam_search(
            self.model.step,
            self._initial_state(prompt, limit),
            prompt,
            length,
            counts,
            limit=limit,
            beam_size=beam_size,
            end_token=end,
            forbidden=self.never_generated,
            length_penalty=length_penalty,
            stop_at_end=ends,
            read=self.model.read_prompt,
        )

    def _answer(self, prompt, tokens, log_probs, stop, given):
        """Text, log-probability and length of one row, cut before the first stop string."""
        if given.end != END and END in tokens:  # a text may end within an answer, too
            count = tokens.tolist().index(END) + 1
            tokens, log_probs = tokens[:count], log_probs[:count]
        if given.ends and len(tokens) and tokens[-1] in (END, given.end):
            text = self.continuation(prompt, tokens[:-1])
        else:
            text = self.continuation(prompt, tokens)
        if contains_any(text, stop):
            counts = range(1, len(tokens) + 1)
            count = next(n for n in counts if contains_any(self.continuation(prompt, tokens[:n]), stop))
            tokens, log_probs = tokens[:count], log_probs[:count]
            text = before_stop(text, stop)
        return {"text": text, "log_prob": float(np.sum(log_probs, dtype="float64")), "length": len(tokens)}

    def stream(
        self,
        prompt: str | bytes = "",
        *,
        chat: Sequence = (),
        max_tokens: int | None = None,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        seed=0,
        stop: Sequence[str] = (),
    ) -> Iterator[str]:
        """The text that `generate` gives of a prompt or a conversation, piece by piece as its tokens come; joined, it is the same.

        A character of which only some bytes have come is held back, and so is what may become a stop string. Options are
        checked at once, before the first piece is asked for.

        Raises:
            RequestError: see `generate`.
        """
        limit = self.settings.max_generated
        given = self.read_prompts([] if chat and not prompt else [prompt], chat, self.stop_at_end)
        counts = token_counts(max_tokens, len(given.rows), limit)
        stop = stop_strings(stop)
        options = Options.broadcast(
            1, temperature=temperature, top_k=top_k, top_p=top_p, repetition_penalty=repetition_penalty, seed=seed
        )
        return self._pieces(given, counts, options, limit, stop)

    def _pieces(self, given, counts, options, limit, stop):
        """The pieces of `stream` after one prompt."""
        (row,), ending = given.rows, (given.end, given.ends)
        padded, length = self.padded([row], given.starts)
        if ending not in self._streams:
            advance = make_advance(
                self.model.logits_step, end_token=given.end, forbidden=self.never_generated, stop_at_end=given.ends
            )
            self._streams[ending] = compiled(self.model.read_prompt, self.model), compiled(advance, self.model)
        state = self.model.initial_state(1, length=padded.shape[1] + limit)
        start = (state, padded, length, counts, options)
        tokens, emitted = [], ""
        for (token,) in stream(*self._streams[ending], *start, limit=limit):
            if given.ends and token in (END, given.end):
                break
            tokens.append(int(token))
            text = self.continuation(row, np.array(tokens, "int32"))
            if contains_any(text, stop):
                break
            prefix = unchanging_prefix(text, stop)
            if len(prefix) > len(emitted) and prefix.startswith(emitted):
                yield prefix[len(emitted) :]
                emitted = prefix
        text = before_stop(self.continuation(row, np.array(tokens, "int32")), stop)
        if len(text) > len(emitted):
            yield text[len(emitted) :]
