// Translation: the best hypotheses, and what each token looked at.

import { explore, h, number, percent, textField } from "../parts.js";
import { fits } from "../server.js";
import { END, tokenNodes, tokenRun, tokenText } from "../tokens.js";

export const kind = "translates sentences";

const MISSING = -1e9; // score of a hypothesis that does not exist
const MIN_DRAWN = 0.005; // a smaller weight is not drawn
const MIN_WRITTEN = 0.095; // a smaller weight is drawn without its number

export function matches(signatures) {
  return fits(signatures.translate_n_best, ["text"], ["translations", "scores"]) || fits(signatures.serving_default, ["text"], ["translation"]);
}

export function modes() {
  return [{ id: "translate", name: "Text", send: "Translate", fields, run }];
}

function fields(values) {
  return [textField("Text", "text", values.get("text") ?? "A man rides a bicycle.", 3, "One sentence, as in training.")];
}

async function run(context) {
  const text = context.values().get("text"), { signatures } = context;
  const several = fits(signatures.translate_n_best, ["text"], ["translations", "scores"]);
  const { value } = await context.ask(JSON.stringify({ signature_name: several ? "translate_n_best" : "serving_default", instances: [text] }));
  const translations = hypotheses(value.predictions[0]), map = h("section");
  context.show(
    value.predictions[0].truncated ? h("p", { class: "warning" }, "The text is longer than the model reads: a part of it was left out, or the whole refused.") : null,
    h("ol", { class: "best", "aria-label": "Translations, the best first" }, translations.map((each) => h("li", {},
      h("span", { dir: "auto" }, each.text || h("span", { class: "muted" }, "(empty)")), h("small", { class: "muted" }, remark(each))))),
    map,
  );
  context.say(translations[0].text || "an empty translation");
  if (!fits(signatures.attention, ["text"], ["source_tokens", "target_tokens", "weights"])) return;
  const answer = await context.ask(JSON.stringify({ signature_name: "attention", instances: [text] }), { more: "What it looked at" });
  const row = answer.value.predictions[0];
  map.append(...attention(row.source_tokens.slice(0, row.source_length), row.target_tokens.slice(0, row.target_length), row.weights));
}

function hypotheses(row) {
  if (!row.translations) return [{ text: row.translation, score: row.score, logProb: row.log_prob }];
  return row.translations.map((text, i) => ({ text, score: row.scores[i], logProb: row.log_probs?.[i] }))
    .filter((each, i) => i === 0 || each.score > MISSING);
}

function remark({ score, logProb }) {
  const parts = [score === undefined ? "" : `score ${number(score)}`, logProb === undefined ? "" : `log-probability ${number(logProb)}`];
  return parts.filter(Boolean).join(" · ");
}

/** Both sentences token by token, and the weights between them; what is pointed at in one lights up in the others. */
function attention(source, target, weights) {
  if (!source.length || !target.length) return [];
  const above = tokenRun(source, named), below = tokenRun(target, named);
  const readout = h("p", { class: "readout", role: "status" });
  const columns = source.map((token) => h("th", { scope: "col", dir: "auto" }, h("span", {}, named(token))));
  const cells = weights.slice(0, target.length).map((row) => source.map((_, s) => cell(row[s])));
  const heads = target.map((token) => h("th", { scope: "row", dir: "auto" }, named(token)));
  const rows = cells.map((row, t) => h("tr", {}, heads[t], row));

  function light(t, s) {
    below.items.forEach((item, i) => mark(item, i === t, t === null && s !== null ? weights[i][s] : 0));
    above.items.forEach((item, i) => mark(item, i === s, s === null && t !== null ? weights[t][i] : 0));
    heads.forEach((head, i) => head.classList.toggle("lit", i === t));
    columns.forEach((head, i) => head.classList.toggle("lit", i === s));
    cells.forEach((row, i) => row.forEach((each, j) => {
      each.classList.toggle("across", i === t && s === null);
      each.classList.toggle("down", j === s && t === null);
      each.classList.toggle("lit", i === t && j === s);
    }));
    readout.replaceChildren(...sentence(t, s));
  }

  function sentence(t, s) {
    if (t === null && s === null) return ["Point at a token of either side, tap it or go through them with the arrow keys."];
    if (t !== null && s !== null) return [h("b", {}, tokenText(target[t])), ` looked at “${tokenText(source[s])}” ${percent(weights[t][s])}`];
    const shares = t !== null ? weights[t].slice(0, source.length) : weights.map((row) => row[s]);
    const names = t !== null ? source : target;
    const top = shares.map((_, i) => i).slice(0, names.length).sort((a, b) => shares[b] - shares[a]).slice(0, 4).filter((i) => shares[i] >= MIN_DRAWN);
    const listed = top.map((i) => `“${tokenText(names[i])}” ${percent(shares[i], 0)}`).join(", ") || "nothing in particular";
    return [h("b", {}, tokenText(t !== null ? target[t] : source[s])), t !== null ? ` looked at ${listed}` : ` was looked at by ${listed}`];
  }

  explore(above.items, (s) => light(null, s));
  explore(below.items, (t) => light(t, null));
  heads.forEach((head, t) => hover(head, () => light(t, null), () => light(null, null)));
  columns.forEach((head, s) => hover(head, () => light(null, s), () => light(null, null)));
  cells.forEach((row, t) => row.forEach((each, s) => hover(each, () => light(t, s), () => light(null, null))));
  light(null, null);
  return [
    h("h3", {}, "What each token looked at"),
    h("dl", { class: "pair" },
      h("dt", {}, "source"), h("dd", { class: above.kind, dir: "auto", role: "group", "aria-label": "Source tokens" }, above.nodes),
      h("dt", {}, "translation"), h("dd", { class: below.kind, dir: "auto", role: "group", "aria-label": "Tokens of the translation" }, below.nodes)),
    readout,
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Attention of each token of the translation to the source tokens" },
      h("table", { class: "map" }, h("thead", {}, h("tr", {}, h("td"), columns)), h("tbody", {}, rows))),
    h("p", { class: "muted note" }, "Each row is a token that was written; the depth of its cells says how much the decoder attended to the source tokens above them, in percent of the row."),
  ];
}

function named(token) {
  return token === END ? [h("span", { class: "raw" }, "end")] : tokenNodes(token);
}

function cell(weight) {
  if (!(weight >= MIN_DRAWN)) return h("td");
  const depth = weight ** 0.8; // text turns at the depths where black and white read alike: dark paper first
  return h("td", { class: depth > 0.815 ? "half deep" : depth > 0.605 ? "half" : null, w: depth }, weight >= MIN_WRITTEN ? String(Math.round(weight * 100)) : "");
}

function mark(item, chosen, weight) {
  item.classList.toggle("lit", chosen);
  item.style.setProperty("--w", weight >= MIN_DRAWN ? (weight ** 0.8).toFixed(3) : "0");
}

function hover(element, enter, leave) {
  element.addEventListener("pointerenter", enter);
  element.addEventListener("pointerleave", leave);
}
