// Classification: probability bars, and the words that the answer rests on.

import { bar, cutWarning, h, instance, percent, textFields, typedTexts } from "../parts.js";
import { answersTexts } from "../server.js";
import { explain, ofLabel } from "../words.js";

export const kind = "classifies texts";

export function matches(signatures) {
  return answersTexts(signatures, ["label", "labels", "probabilities"]);
}

export function modes() {
  return [{ id: "classify", name: "Text", send: "Classify", fields: textFields, run }];
}

async function run(context) {
  const texts = typedTexts(context);
  const { value } = await context.ask(JSON.stringify({ instances: [instance(texts)] }));
  const answer = value.predictions[0], { label, labels, probabilities } = answer; // the label may follow from a threshold
  const order = labels.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a]);
  const answered = labels.indexOf(label);
  const words = h("section", { "aria-busy": "true" });
  context.show(
    h("p", { class: "headline", dir: "auto" }, label),
    h("ul", { class: "bars" }, order.map((i) => bar(labels[i], probabilities[i], percent(probabilities[i]), i === answered))),
    cutWarning(answer.truncated), // older exports do not say whether it was
    words,
  );
  context.say(`${label}, ${percent(probabilities[answered])}`);
  await explain(context, words, texts, answer, [ofLabel(labels, answered)]);
}
