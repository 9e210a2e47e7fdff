// The words that an answer rests on: each is left out once, and coloured by what that does to a number of the answer.

import { counted, explore, field, h, instance, milliseconds, percent } from "./parts.js";
import { inHalves } from "./server.js";

const MAX_WORDS = 200; // that are left out one by one
const ROWS = 64; // texts a request

/** A change in a probability. */
export function points(effect) {
  return `${effect < 0 ? "−" : "+"}${Math.abs(effect * 100).toFixed(1)} points`;
}

/** What to read in answers about the label at place `i`, for `explain`. */
export function ofLabel(labels, i) {
  return {
    name: labels[i], read: (row) => row.probabilities[row.labels.indexOf(labels[i])], write: (value) => `${labels[i]} ${percent(value)}`, change: points,
    full: 0.01, least: 0.0005, what: `the probability of “${labels[i]}”`, pro: `for ${labels[i]}`, contra: "against it", most: ["Most for it", "Most against it"],
  };
}

/** What to read in answers that are a number, for `explain`: `what` it is called, and `scale`, a large difference between two. */
export function ofNumber(what, read, write, scale) {
  return {
    name: what, read, write, change: (effect) => `${effect < 0 ? "−" : "+"}${Math.abs(effect).toLocaleString("en", { maximumSignificantDigits: 3 })}`,
    full: scale / 100, least: scale / 1000, what, pro: "raises it", contra: "lowers it", most: ["Most upwards", "Most downwards"],
  };
}

/**
 * Leaves each word of a text, or of a pair of texts, out once, and draws what that does.
 *
 * @param {object} context of the page
 * @param {Element} place where it is drawn
 * @param {object} texts `{text}` or `{text, text_b}`
 * @param {object} answer to them
 * @param {object[]} readings see `ofLabel` and `ofNumber`; where there are several, one is chosen from a list
 */
export async function explain(context, place, texts, answer, readings) {
  const all = Object.entries(texts).flatMap(([side, text]) => wordsOf(text).map((word) => ({ side, ...word })));
  const words = all.slice(0, MAX_WORDS), rows = [];
  if (!words.length) return place.remove();
  let ms = 0;
  try {
    for (let at = 0; at < words.length; at += ROWS) {
      place.replaceChildren(h("p", { class: "muted" }, `Leaving out words: ${at} of ${words.length} …`));
      const without = words.slice(at, at + ROWS).map(({ side, start, end }) => ({ ...texts, [side]: texts[side].slice(0, start) + texts[side].slice(end) }));
      const start = performance.now();
      rows.push(...await inHalves(without, async (some) => {
        const { value } = await context.ask(JSON.stringify({ instances: some.map(instance) }), { quiet: true });
        return value.predictions;
      }));
      ms += performance.now() - start;
    }
  } catch (error) { // the answer stays
    if (error.name === "AbortError") return place.remove();
    return place.replaceChildren(h("p", { class: "muted" }, `Which words mattered could not be found out: ${error.message}`));
  } finally {
    place.removeAttribute("aria-busy");
  }
  const parts = h("div", { class: "stack" });
  const draw = (reading) => parts.replaceChildren(...drawn(texts, words, answer, rows, reading, all.length, ms));
  draw(readings[0]);
  const names = h("select", { onchange: () => draw(readings[names.selectedIndex]) }, readings.map(({ name }) => h("option", {}, name)));
  place.replaceChildren(h("h3", {}, "The words that mattered"), ...(readings.length > 1 ? [field("For the label", names)] : []), parts);
}

function drawn(texts, words, answer, rows, reading, count, ms) {
  const whole = reading.read(answer), effects = rows.map((row) => whole - reading.read(row)); // above 0: the word speaks for it
  const strongest = Math.max(reading.full, ...effects.map(Math.abs)); // full colour; a smaller one is paler
  const items = words.map(({ text }, i) => h("i", { class: effects[i] < 0 ? "token warm" : "token cool", w: Math.abs(effects[i]) / strongest }, text));
  const runs = Object.entries(texts).map(([side, text], number) => {
    const nodes = [];
    let at = 0;
    words.forEach((word, i) => {
      if (word.side !== side) return;
      nodes.push(text.slice(at, word.start), items[i]);
      at = word.end;
    });
    return h("p", { class: "run", dir: "auto", role: "group", "aria-label": `${number ? "Second text" : "Text"}, word by word` }, ...nodes, text.slice(at));
  });
  const readout = h("p", { class: "readout", role: "status" });
  explore(items, (i) => readout.replaceChildren(...(i === null ? summary(words, effects, reading) : [
    h("b", {}, `\u2068${words[i].text}\u2069`),
    ` without it: ${reading.write(whole - effects[i])} instead of ${reading.write(whole)} (${reading.change(-effects[i])})`,
  ])));
  readout.replaceChildren(...summary(words, effects, reading));
  const rest = count > words.length ? ` Only the first ${words.length} of ${count} words were left out.` : "";
  return [
    ...runs,
    readout,
    h("p", { class: "legend" },
      h("i", { class: "token cool", w: 1 }, `${reading.pro}, ${reading.change(strongest)}`), h("i", { class: "token warm", w: 1 }, `${reading.contra}, ${reading.change(-strongest)}`)),
    h("p", { class: "muted note" }, `Each word was left out once; its colour is how much ${reading.what} `
      + `then fell or rose (${counted(words.length, "more text")}, ${milliseconds(ms)}). Words that matter only together can stay pale.${rest}`),
  ];
}

function summary(words, effects, { least, most, what, change }) {
  const order = effects.map((_, i) => i).filter((i) => /[\p{L}\p{N}]/u.test(words[i].text)).sort((a, b) => effects[b] - effects[a]);
  const named = (chosen) => chosen.map((i) => `“\u2068${words[i].text}\u2069” ${change(effects[i])}`).join(", ");
  const pro = order.filter((i) => effects[i] >= least).slice(0, 3);
  const contra = order.filter((i) => effects[i] <= -least).reverse().slice(0, 3);
  if (!pro.length && !contra.length) return [`No single word changes ${what}.`];
  return [pro.length ? `${most[0]}: ${named(pro)}. ` : "", contra.length ? `${most[1]}: ${named(contra)}.` : ""];
}

/** Words and marks with their places, also in scripts that set no spaces. */
function wordsOf(text) {
  if (!Intl.Segmenter) return [...text.matchAll(/\S+/g)].map((m) => ({ start: m.index, end: m.index + m[0].length, text: m[0] }));
  return [...new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)]
    .filter(({ segment }) => segment.trim())
    .map(({ index, segment }) => ({ start: index, end: index + segment.length, text: segment }));
}
