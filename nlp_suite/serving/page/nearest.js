// Nearest texts: a list of texts ranked by how near their vectors are to that of one text.

import { counted, h, number, textField } from "./parts.js";
import { fits, inHalves } from "./server.js";

const MAX_TEXTS = 500;
const ROWS = 64; // texts a request
const SHOWN = 50; // the others are behind a button
const MAX_CHARACTERS = 300; // of a text that is shown
const FEW = 8; // numbers of a vector by which hardly any two texts can be told apart
const EXAMPLE = [
  "A beautiful film with a great cast.", "The plot is thin and the jokes are old.", "I fell asleep after ten minutes.",
  "The delivery came two days late.", "Best meal that we had all year.", "The screen is bright and the battery lasts.",
];

/** Can be asked of any model whose signature `embed` gives a text a vector. */
export function modes(signatures) {
  return fits(signatures.embed, ["text"], ["embedding"]) ? [{ id: "nearest", name: "Nearest texts", send: "Rank", fields, run }] : [];
}

function fields(values) {
  return [
    textField("Text to compare with", "text", values.get("text") ?? "A wonderful film, well worth the wait.", 2),
    textField("Texts to rank", "texts", values.get("texts") ?? EXAMPLE.join("\n"), 10, `One a line, ${MAX_TEXTS} at most. They are sent to this server and nowhere else.`),
  ];
}

async function run(context) {
  const query = context.values().get("text");
  const all = context.values().get("texts").split("\n").filter((line) => line.trim());
  if (!all.length) return context.show(h("p", { class: "error", role: "alert" }, "There are no texts to rank: paste some, one a line."));
  const texts = all.slice(0, MAX_TEXTS), answers = [];
  for (let at = 0; at <= texts.length; at += ROWS) {
    if (at) context.show(h("p", { class: "muted" }, `Reading texts: ${at} of ${texts.length} …`));
    answers.push(...await inHalves([query, ...texts].slice(at, at + ROWS), async (rows) => {
      const { value } = await context.ask(JSON.stringify({ signature_name: "embed", instances: rows }), { quiet: at > 0 });
      return value.predictions;
    }));
  }
  const [{ embedding: wanted }, ...rest] = answers;
  const ranked = texts.map((text, i) => ({ text, cosine: cosine(wanted, rest[i].embedding) }));
  ranked.sort((a, b) => (b.cosine ?? -2) - (a.cosine ?? -2)); // texts without a cosine last, equal ones as they were typed
  const cut = answers.filter((each) => each.truncated).length;
  const more = ranked.length - SHOWN, list = h("ol", { class: "near", "aria-label": "Texts, the nearest first" }, ranked.slice(0, SHOWN).map(drawn));
  const showAll = h("button", { type: "button", class: "quiet", onclick: () => { list.append(...ranked.slice(SHOWN).map(drawn)); showAll.remove(); } }, `Show the other ${more}`);
  context.show(
    all.length > texts.length ? h("p", { class: "warning" }, `Only the first ${counted(texts.length, "text")} of ${all.length.toLocaleString("en")} were read.`) : null,
    cut ? h("p", { class: "warning" }, `${counted(cut, "text")} of ${answers.length} ${cut === 1 ? "is" : "are"} longer than the model reads: a part was left out.`) : null,
    wanted.some((value) => value) ? null : h("p", { class: "warning" }, "Nothing in the text to compare with is known to the model, so nothing is near to it."),
    list,
    more > 0 ? h("p", { class: "buttons" }, showAll) : null,
    h("p", { class: "muted note" }, `The number is the cosine of two vectors: 1 is the same direction, 0 has nothing in common. ${vectors(wanted.length)}`),
  );
  context.say(`nearest: ${ranked[0].text}`);
}

function vectors(size) {
  const what = `A vector has ${counted(size, "number")}, what the model's answer is made of: near is what it was trained to treat alike.`;
  return size < FEW ? `${what} With so few, many texts are equally near.` : what;
}

function drawn({ text, cosine }) {
  const characters = [...text], shown = characters.length > MAX_CHARACTERS ? `${characters.slice(0, MAX_CHARACTERS).join("")}…` : text;
  return h("li", {},
    h("span", { class: "number" }, cosine === null ? "–" : number(cosine, 3)),
    h("span", { class: "track", "aria-hidden": "true" }, h("i", { w: cosine })),
    h("span", { dir: "auto" }, shown));
}

/** The cosine of two vectors; null where one is zero. */
function cosine(a, b) {
  const product = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  const lengths = Math.sqrt(product(a, a) * product(b, b));
  return lengths > 0 ? product(a, b) / lengths : null;
}
