// Tokens as people can read them, and text coloured token by token.

import { bar, explore, h, number, percent } from "./parts.js";

export const END = "</s>";
export const LEVELS = [0.5, 1, 2, 3, 4, 6, 8, 11, 14]; // bits at which the colour of a token gets stronger
const SIGNS = { " ": "·", "\n": "↵", "\t": "⇥", [END]: "↵" };
const BYTE = /^<0x([0-9A-F]{2})>$/;
const MAX_CHARACTERS = 80; // characters of a token that are drawn

/** A token as parts that can all be seen: `["text" | "mark" | "raw", characters]`. */
export function visible(token) {
  if (Object.hasOwn(SIGNS, token)) return [["mark", SIGNS[token]]];
  const byte = BYTE.exec(token);
  if (byte && parseInt(byte[1], 16) >= 0x20 && parseInt(byte[1], 16) < 0x7f) {
    return visible(String.fromCharCode(parseInt(byte[1], 16)));
  }
  if (!token || byte || /^(<[a-z]+>|\[[A-Z]+\])$/.test(token)) return [["raw", token || "empty"]];
  const parts = [], characters = [...token];
  characters.slice(0, MAX_CHARACTERS).forEach((c, i) => {
    let part = ["text", i === 0 && /\p{M}/u.test(c) ? `◌${c}` : c];
    if (c === "▁" || Object.hasOwn(SIGNS, c)) part = ["mark", SIGNS[c] ?? c];
    else if (/[\p{Cc}\p{Cf}\p{Cs}\p{Z}]/u.test(c) && !(/[\u200c\u200d]/.test(c) && i > 0 && i < characters.length - 1)) {
      part = ["raw", `U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`];
    }
    const last = parts.at(-1);
    if (last?.[0] === "text" && part[0] === "text") last[1] += part[1];
    else parts.push(part);
  });
  return characters.length > MAX_CHARACTERS ? [...parts, ["mark", "…"]] : parts;
}

/** A token in a sentence of numbers: isolated, so that a right-to-left one does not turn the rest round. */
export function tokenText(token) {
  return `\u2068${token === END ? "end" : visible(token).map(([, text]) => text).join("")}\u2069`;
}

export function tokenNodes(token) {
  return visible(token).map(([kind, text]) => (kind === "text" ? text : h("span", { class: kind }, text)));
}

/** Whether tokens are words, which had white space between them: none holds a space, a ▁ or a byte, some are long. */
export function wordsApart(tokens) {
  const names = tokens.filter((token) => token !== END && token !== "<unk>");
  if (names.some((name) => name.includes("▁") || name.includes(" ") || BYTE.test(name))) return false;
  return names.some((name) => [...name].length > 1);
}

/** A run of text of tokens: one element a token, in `items`, and what is between them; `show` gives the nodes of one. */
export function tokenRun(tokens, show = tokenNodes) {
  const spaced = wordsApart(tokens), nodes = [];
  let starts = true; // whether a line begins here
  const items = tokens.map((token) => {
    const begins = token.startsWith("▁") && token.length > 1; // a word: its mark becomes a space
    if (!starts && (token.startsWith("▁") || (spaced && token !== END && !token.startsWith("##")))) nodes.push(" ");
    else if (token.startsWith(" ")) nodes.push(h("wbr"));
    const item = h("i", { class: "token" }, show(begins ? token.slice(1) : token));
    nodes.push(item);
    starts = token === END || token === "\n";
    if (starts) nodes.push(h("br"));
    return item;
  });
  const parts = tokens.some((token) => /^(▁|##)./.test(token));
  return { nodes, items, kind: parts ? "run parts" : "run" }; // parts of words show where each begins
}

/** What is joined to a prompt when a token is added to it. */
export function joined(prompt, token, spaced) {
  if (token === END) return `${prompt}\n`;
  if (token.startsWith("##")) return prompt + token.slice(2);
  if (token.includes("▁")) {
    const text = token.replaceAll("▁", " ");
    return prompt === "" || /\s$/.test(prompt) ? prompt + text.trimStart() : prompt + text;
  }
  return spaced && prompt !== "" && !/\s$/.test(prompt) ? `${prompt} ${token}` : prompt + token;
}

/** Surprise in bits of a log-probability in nats; null if it is not known. */
export function bits(logProb) {
  return logProb === null || Number.isNaN(logProb) ? null : Math.max(-logProb / Math.LN2, 0);
}

export function level(surprise) {
  return surprise === null ? 0 : LEVELS.filter((bound) => bound <= surprise).length;
}

export function depth(step) {
  return (step / LEVELS.length) ** 1.3;
}

/** A probability of any size, given in nats: 12.3 %, 0.0045 %, 1 in 1,234,567. */
export function probability(logProb) {
  const value = Math.exp(Math.min(logProb, 0));
  if (value >= 1e-5) return percent(value, value >= 0.1 ? 1 : value >= 0.01 ? 2 : 4);
  return value > 1e-12 ? `1 in ${number(Math.exp(-logProb), 0)}` : "under 1 in 10¹²";
}

/** A text whose tokens have a background as strong as their surprise, with their numbers in a line under it. */
export function surpriseText(tokens, logProbs) {
  const { nodes, items, kind } = tokenRun(tokens);
  const readout = h("p", { class: "readout", role: "status" });
  items.forEach((item, i) => item.style.setProperty("--w", depth(level(bits(logProbs[i]))).toFixed(3)));
  explore(items, (i) => {
    if (i === null) return readout.replaceChildren("Point at a token, tap it or go through them with the arrow keys.");
    const surprise = bits(logProbs[i]), name = tokens[i] === END ? "end of line" : tokenText(tokens[i]);
    readout.replaceChildren(h("b", {}, name), surprise === null ? " probability not known"
      : ` probability ${probability(logProbs[i])} · ${number(surprise)} bits`);
  });
  readout.textContent = "Point at a token, tap it or go through them with the arrow keys.";
  const names = [`under ${LEVELS[0]}`, ...LEVELS.slice(1).map((high, i) => `${LEVELS[i]}–${high}`), `${LEVELS.at(-1)} or more`];
  const shades = names.map((name, step) => h("i", { class: "token", w: depth(step) }, name));
  return h("div", { class: "warm stack" },
    h("p", { class: kind, dir: "auto", role: "group", "aria-label": "Text, token by token" }, nodes),
    readout, h("p", { class: "legend" }, h("span", {}, "surprise in bits"), shades));
}

/** Tokens with their probabilities as bars; `choose(token)` is called for the one that is pressed. */
export function tokenBars(tokens, probabilities, choose) {
  const rows = tokens.map((token, i) => {
    const row = bar("", probabilities[i] / (probabilities[0] || 1), percent(probabilities[i]));
    const add = h("button", { type: "button", class: "quiet", onclick: () => choose(token) }, tokenNodes(token));
    add.setAttribute("aria-label", `Add ${tokenText(token)}, ${percent(probabilities[i])}`);
    row.querySelector(".name").replaceChildren(add);
    return row;
  });
  return h("ol", { class: "bars" }, rows);
}
