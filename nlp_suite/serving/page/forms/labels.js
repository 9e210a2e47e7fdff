// Multi-label classification: the probability of every label, which reach their thresholds, and the words that speak for each.

import { bar, cutWarning, h, instance, percent, textFields, typedTexts } from "../parts.js";
import { answersTexts } from "../server.js";
import { explain, ofLabel } from "../words.js";

export const kind = "gives texts any number of labels";

export function matches(signatures) {
  return answersTexts(signatures, ["chosen", "labels", "probabilities", "thresholds"]);
}

export function modes() {
  return [{ id: "labels", name: "Text", send: "Classify", fields: textFields, run }];
}

async function run(context) {
  const texts = typedTexts(context);
  const { value } = await context.ask(JSON.stringify({ instances: [instance(texts)] }));
  const answer = value.predictions[0], { labels, probabilities, thresholds, chosen } = answer;
  const order = labels.map((_, i) => i).sort((a, b) => chosen[b] - chosen[a] || probabilities[b] - probabilities[a]);
  const given = order.filter((i) => chosen[i]).map((i) => labels[i]).join(", ") || "no label";
  const words = h("section", { "aria-busy": "true" });
  context.show(
    h("p", { class: "headline", dir: "auto" }, given),
    h("ul", { class: "bars" }, order.map((i) => bar(labels[i], probabilities[i], percent(probabilities[i]), chosen[i], thresholds[i]))),
    h("p", { class: "muted note" }, "A label is given where its bar reaches the stroke, its threshold. Each probability is for itself; they do not add up to 100\u00a0%."),
    cutWarning(answer.truncated),
    words,
  );
  context.say(given);
  await explain(context, words, texts, answer, order.map((i) => ofLabel(labels, i)));
}
