// Ordinal classification: the labels in their order, where the answer lies among them, and the words that raise or lower it.

import { bar, cutWarning, h, instance, number, percent, textFields, typedTexts } from "../parts.js";
import { answersTexts } from "../server.js";
import { explain, ofNumber } from "../words.js";

export const kind = "gives texts one of several ordered labels";

export function matches(signatures) {
  return answersTexts(signatures, ["label", "labels", "probabilities"]);
}

export function modes() {
  return [{ id: "ordinal", name: "Text", send: "Classify", fields: textFields, run }];
}

async function run(context) {
  const texts = typedTexts(context);
  const { value } = await context.ask(JSON.stringify({ instances: [instance(texts)] }));
  const answer = value.predictions[0], { label, labels, probabilities } = answer;
  const numbers = labels.map(Number), counted = numbers.every(Number.isFinite); // names without numbers: their places, from 1
  const places = counted ? numbers : labels.map((_, i) => i + 1);
  const mean = (row) => row.probabilities.reduce((sum, share, i) => sum + share * places[i], 0);
  const words = h("section", { "aria-busy": "true" });
  context.show(
    h("p", { class: "headline", dir: "auto" }, label),
    h("ul", { class: "bars" }, labels.map((each, i) => bar(each, probabilities[i], percent(probabilities[i]), each === label))),
    h("p", {}, counted ? `Mean of the labels by their probabilities: ${number(mean(answer))}`
      : `Mean place by the probabilities, ${labels[0]} being 1 and ${labels.at(-1)} ${labels.length}: ${number(mean(answer))}`),
    cutWarning(answer.truncated),
    words,
  );
  context.say(`${label}, ${percent(probabilities[labels.indexOf(label)])}`);
  await explain(context, words, texts, answer, [ofNumber("the mean", mean, number, Math.abs(places.at(-1) - places[0]))]);
}
