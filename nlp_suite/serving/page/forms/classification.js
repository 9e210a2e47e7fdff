// Classification: probability bars, and the words that the answer rests on.

import { bar, counted, explore, h, instance, milliseconds, percent, textFields } from "../parts.js";
import { fits, ServerError } from "../server.js";

const MAX_WORDS = 200; // that are left out one by one
const ROWS = 64; // texts a request

export const kind = "classifies texts";

export function matches(signatures) {
  return [["text"], ["text", "text_b"]].some((inputs) => fits(signatures.serving_default, inputs, ["label", "labels", "probabilities"]));
}

export function modes() {
  return [{ id: "classify", name: "Text", send: "Classify", fields: textFields, run }];
}

async function run(context) {
  const text = context.values().get("text");
  const { value } = await context.ask(JSON.stringify({ instances: [instance(context, text)] }));
  const { labels, probabilities, truncated } = value.predictions[0]; // older exports do not say whether it was
  const order = labels.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a]);
  const best = order[0];
  const words = h("section", { "aria-busy": "true" });
  context.show(
    h("p", { class: "headline", dir: "auto" }, labels[best]),
    h("ul", { class: "bars" }, order.map((i) => bar(labels[i], probabilities[i], percent(probabilities[i]), i === best))),
    truncated ? h("p", { class: "warning" }, "The text is longer than the model reads: a part of it was left out.") : null,
    words,
  );
  context.say(`${labels[best]}, ${percent(probabilities[best])}`);
  await explain(context, words, text, labels, best, probabilities[best]);
}

/** Leaves each word out once, and colours it by what that does to the probability of the label that won. */
async function explain(context, place, text, labels, best, probability) {
  const all = wordsOf(text), words = all.slice(0, MAX_WORDS);
  if (!words.length) return place.remove();
  const shares = [];
  let ms = 0;
  for (let at = 0; at < words.length; at += ROWS) {
    place.replaceChildren(h("p", { class: "muted" }, `Leaving out words: ${at} of ${words.length} …`));
    const rows = words.slice(at, at + ROWS).map(({ start, end }) => text.slice(0, start) + text.slice(end));
    const start = performance.now();
    for (const row of await predictions(context, rows)) shares.push(row.probabilities[row.labels.indexOf(labels[best])]);
    ms += performance.now() - start;
  }
  const effects = shares.map((share) => probability - share); // above 0: the word speaks for the label
  place.removeAttribute("aria-busy");
  place.replaceChildren(...drawn(text, words, effects, labels[best], probability, all.length, ms));
}

function drawn(text, words, effects, label, probability, count, ms) {
  const strongest = Math.max(0.01, ...effects.map(Math.abs)); // full colour; below one point nothing has it
  const nodes = [];
  let at = 0;
  const items = words.map(({ start, end, text: word }, i) => {
    nodes.push(text.slice(at, start));
    at = end;
    const item = h("i", { class: effects[i] < 0 ? "token warm" : "token cool", w: Math.abs(effects[i]) / strongest }, word);
    nodes.push(item);
    return item;
  });
  nodes.push(text.slice(at));
  const readout = h("p", { class: "readout", role: "status" });
  explore(items, (i) => readout.replaceChildren(...(i === null ? summary(words, effects) : [
    h("b", {}, `\u2068${words[i].text}\u2069`),
    ` without it: ${label} ${percent(probability - effects[i])} instead of ${percent(probability)} (${points(-effects[i])})`,
  ])));
  readout.replaceChildren(...summary(words, effects));
  const rest = count > words.length ? ` Only the first ${words.length} of ${count} words were left out.` : "";
  return [
    h("h3", {}, "The words that mattered"),
    h("p", { class: "run", dir: "auto", role: "group", "aria-label": "Text, word by word" }, nodes),
    readout,
    h("p", { class: "legend" },
      h("i", { class: "token cool", w: 1 }, `for ${label}, ${points(strongest)}`), h("i", { class: "token warm", w: 1 }, `against it, ${points(-strongest)}`)),
    h("p", { class: "muted note" }, `Each word was left out once; its colour is how much the probability of “${label}” `
      + `then fell or rose (${counted(words.length, "more text")}, ${milliseconds(ms)}). Words that matter only together can stay pale.${rest}`),
  ];
}

function summary(words, effects) {
  const order = effects.map((_, i) => i).filter((i) => /[\p{L}\p{N}]/u.test(words[i].text)).sort((a, b) => effects[b] - effects[a]);
  const named = (chosen) => chosen.map((i) => `“\u2068${words[i].text}\u2069” ${points(effects[i])}`).join(", ");
  const threshold = 0.0005; // less is written as 0
  const pro = order.filter((i) => effects[i] >= threshold).slice(0, 3);
  const contra = order.filter((i) => effects[i] <= -threshold).reverse().slice(0, 3);
  if (!pro.length && !contra.length) return ["No single word changes the probability."];
  return [pro.length ? `Most for it: ${named(pro)}. ` : "", contra.length ? `Most against it: ${named(contra)}.` : ""];
}

function points(effect) {
  return `${effect < 0 ? "−" : "+"}${Math.abs(effect * 100).toFixed(1)} points`;
}

/** Answers to several texts in one request; in halves where the server refuses so many at once. */
async function predictions(context, texts) {
  try {
    const { value } = await context.ask(JSON.stringify({ instances: texts.map((text) => instance(context, text)) }), { quiet: true });
    return value.predictions;
  } catch (error) {
    if (!(error instanceof ServerError) || error.status !== 400 || texts.length < 2) throw error;
    const half = Math.ceil(texts.length / 2);
    return [...await predictions(context, texts.slice(0, half)), ...await predictions(context, texts.slice(half))];
  }
}

/** Words and marks with their places, also in scripts that set no spaces. */
function wordsOf(text) {
  if (!Intl.Segmenter) return [...text.matchAll(/\S+/g)].map((m) => ({ start: m.index, end: m.index + m[0].length, text: m[0] }));
  return [...new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)]
    .filter(({ segment }) => segment.trim())
    .map(({ index, segment }) => ({ start: index, end: index + segment.length, text: segment }));
}
