// Generation: text that streams in, the next token, and how surprising a text is.

import { counted, facts, field, h, number, perplexity, textField } from "../parts.js";
import { bits, joined, surpriseText, tokenBars, wordsApart } from "../tokens.js";

export const kind = "continues texts and says how surprising they are";

const FIRST = 4; // tokens of the first piece; each further one makes the text half as long again
const OPTIONS = [
  { name: "max_tokens", label: "Tokens, at most", value: 50, min: 0, step: 1 },
  { name: "temperature", label: "Temperature", value: 0.8, min: 0, step: 0.05, remark: "0: the most probable" },
  { name: "top_k", label: "Top-k", value: 0, min: 0, step: 1, remark: "0: all" },
  { name: "top_p", label: "Top-p", value: 1, min: 0, max: 1, step: 0.01, remark: "1: all" },
  { name: "repetition_penalty", label: "Repetition penalty", value: 1, min: 0.01, step: 0.01, remark: "1: none" },
  { name: "stop", label: "Stop at", value: "", remark: "empty: nowhere" },
  { name: "seed", label: "Seed", value: 0, min: -(2 ** 31), max: 2 ** 31 - 1, step: 1 },
];

export function matches(signatures) {
  return fitsGenerate(signatures.generate) || (has(signatures.serving_default, "inputs", "prompt") && has(signatures.serving_default, "outputs", "text"));
}

function fitsGenerate(signature) {
  const known = ["prompt", ...OPTIONS.map((option) => option.name)];
  return has(signature, "inputs", "prompt") && has(signature, "outputs", "text") && has(signature, "outputs", "length")
    && signature.inputs.every((tensor) => known.includes(tensor.name));
}

function has(signature, side, name) {
  return Boolean(signature?.[side].some((tensor) => tensor.name === name));
}

export function modes(signatures) {
  const modes = [{ id: "continue", name: "Continue", send: "Continue", fields: continueFields, run: fitsGenerate(signatures.generate) ? generate : answer }];
  if (has(signatures.next, "inputs", "prompt")) {
    modes.push({ id: "next", name: "Next token", send: "What comes next?", fields: (values) => [promptField(values)], run: next });
  }
  if (has(signatures.score, "inputs", "text") && has(signatures.score, "outputs", "token_log_probs")) {
    modes.push({ id: "surprise", name: "Surprise", send: "Colour it", fields: (values) => [textField("Text", "text", values.get("text") ?? "The ")], run: score });
  }
  return modes;
}

function promptField(values) {
  return textField("Prompt", "text", values.get("text") ?? "The ", 3);
}

function continueFields(values, signatures) {
  if (!fitsGenerate(signatures.generate)) return [promptField(values)];
  const options = OPTIONS.filter((option) => has(signatures.generate, "inputs", option.name)).map((option) => {
    const input = option.step === undefined ? h("input", { type: "text", name: option.name, dir: "auto", autocomplete: "off" })
      : h("input", { type: "number", required: true, name: option.name, min: option.min, max: option.max, step: option.step });
    input.value = values.get(option.name) ?? option.value;
    return field(option.label, input, option.remark);
  });
  const another = h("button", { type: "button", class: "quiet", onclick: (event) => {
    const form = event.target.form;
    form.elements.seed.value = Math.floor(Math.random() * 10000);
    form.requestSubmit();
  } }, "Another seed");
  const folded = h("details", { open: matchMedia("(min-width: 34rem)").matches }, h("summary", {}, "Options"),
    h("div", { class: "options" }, options, has(signatures.generate, "inputs", "seed") ? h("div", { class: "field" }, another) : null));
  folded.addEventListener("invalid", () => (folded.open = true), true);
  return [promptField(values), folded];
}

/**
 * Text in growing pieces. The n-th token depends on prompt, seed and n only, so a request for more tokens begins with the
 * text of one for fewer: the result is what a single request gives.
 */
async function generate(context) {
  const values = context.values(), prompt = values.get("text"), maxTokens = Number(values.get("max_tokens") ?? 50);
  const request = (tokens) => JSON.stringify({ signature_name: "generate", inputs: Object.fromEntries(
    context.signatures.generate.inputs.map(({ name }) => {
      if (name === "prompt") return [name, [prompt]];
      if (name === "stop") return [name, [values.get(name)]];
      return [name, [name === "max_tokens" ? tokens : Number(values.get(name))]];
    })) });
  const written = h("span", { class: "written" }), numbers = h("div", { class: "stack" });
  context.show(h("p", { class: "text", dir: "auto" }, h("span", { class: "prompt" }, prompt), written), numbers);
  for (let tokens = Math.min(FIRST, maxTokens); ; tokens = Math.min(Math.ceil(tokens * 1.5), maxTokens)) {
    const { value } = await context.ask(request(tokens), { shown: request(maxTokens) });
    const [text, length, logProb] = ["text", "length", "log_prob"].map((name) => value.outputs[name]?.[0]);
    written.textContent = text;
    if (tokens >= maxTokens || length < tokens) {
      numbers.replaceChildren(...measured(length, logProb), ...further(context, prompt + text));
      return context.say(`${counted(length, "token")}: ${text}`);
    }
  }
}

async function answer(context) {
  const prompt = context.values().get("text");
  const { value } = await context.ask(JSON.stringify({ inputs: { prompt: [prompt] } }));
  const text = (value.outputs.text ?? value.outputs)[0];
  context.show(h("p", { class: "text", dir: "auto" }, h("span", { class: "prompt" }, prompt), h("span", { class: "written" }, text)), ...further(context, prompt + text));
  context.say(text);
}

function measured(length, logProb) {
  if (logProb === undefined || !length) return [h("p", { class: "muted" }, `${counted(length, "token")}.`)];
  return [facts([["tokens", length.toLocaleString("en")], ["log-probability", number(logProb)], ["perplexity per token", perplexity(Math.exp(-logProb / length))]])];
}

function further(context, text) {
  const buttons = [["surprise", "Surprise of this text"], ["next", "What comes next?"]].filter(([mode]) => context.offers(mode));
  return [h("p", { class: "buttons" }, buttons.map(([mode, name]) => h("button", { type: "button", class: "quiet", onclick: () => context.go(mode, { text }) }, name)))];
}

async function next(context) {
  const prompt = context.values().get("text");
  const { value } = await context.ask(JSON.stringify({ signature_name: "next", inputs: { prompt: [prompt] } }));
  const tokens = value.outputs.tokens[0], probabilities = value.outputs.probabilities[0];
  const spaced = wordsApart(tokens), sum = probabilities.reduce((a, b) => a + b, 0);
  context.show(
    h("p", { class: "text prompt", dir: "auto" }, prompt, h("span", { class: "written" }, " …")),
    tokenBars(tokens, probabilities, (token) => context.go("next", { text: joined(prompt, token, spaced) })),
    h("p", { class: "muted note" }, `The ${tokens.length} most probable tokens, ${number(sum * 100, 1)} % of all together; bars are relative to the first. Press one to add it and go on.`),
  );
  context.say(`most probable: ${tokens.slice(0, 3).join(", ")}`);
}

async function score(context) {
  const text = context.values().get("text");
  const { value } = await context.ask(JSON.stringify({ signature_name: "score", inputs: { text: [text] } }));
  const { outputs } = value, length = outputs.length[0];
  const logProbs = outputs.token_log_probs[0].slice(0, length), total = outputs.log_prob[0];
  context.show(
    facts([["perplexity per token", perplexity(outputs.perplexity[0])], ["bits per token", length ? number(bits(total) / length) : "–"],
      ["log-probability", number(total)], ["tokens", length.toLocaleString("en")]]),
    surpriseText(outputs.tokens[0].slice(0, length), logProbs),
  );
  context.say(`perplexity ${perplexity(outputs.perplexity[0])} per token, ${counted(length, "token")}`);
}
