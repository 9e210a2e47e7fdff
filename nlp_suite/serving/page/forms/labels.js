// Multi-label classification: the probability of every label, and which reach their thresholds.

import { bar, h, instance, percent, textFields } from "../parts.js";
import { fits } from "../server.js";

export const kind = "gives texts any number of labels";

export function matches(signatures) {
  return [["text"], ["text", "text_b"]].some((inputs) => fits(signatures.serving_default, inputs, ["chosen", "labels", "probabilities", "thresholds"]));
}

export function modes() {
  return [{ id: "labels", name: "Text", send: "Classify", fields: textFields, run }];
}

async function run(context) {
  const text = context.values().get("text");
  const { value } = await context.ask(JSON.stringify({ instances: [instance(context, text)] }));
  const { labels, probabilities, thresholds, chosen, truncated } = value.predictions[0];
  const order = labels.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a]);
  const given = order.filter((i) => chosen[i]).map((i) => labels[i]).join(", ") || "no label";
  const said = (i) => `${percent(probabilities[i])} (given from ${percent(thresholds[i])})`;
  context.show(
    h("p", { class: "headline", dir: "auto" }, given),
    h("ul", { class: "bars" }, order.map((i) => bar(labels[i], probabilities[i], said(i), chosen[i]))),
    truncated ? h("p", { class: "warning" }, "The text is longer than the model reads: a part of it was left out.") : null,
  );
  context.say(given);
}
