// Regression: the number that a text is answered with, and the words that raise or lower it.

import { cutWarning, h, instance, textFields, typedTexts } from "../parts.js";
import { answersTexts } from "../server.js";
import { explain, ofNumber } from "../words.js";

export const kind = "answers texts with a number";

const FORMAT = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

export function matches(signatures) {
  return answersTexts(signatures, ["value", "truncated"]);
}

export function modes() {
  return [{ id: "regress", name: "Text", send: "Ask", fields: textFields, run }];
}

async function run(context) {
  const texts = typedTexts(context);
  const { value } = await context.ask(JSON.stringify({ instances: [instance(texts)] }));
  const answer = value.predictions[0], shown = written(answer.value), words = h("section", { "aria-busy": "true" });
  context.show(h("p", { class: "headline" }, shown), cutWarning(answer.truncated), words);
  context.say(shown);
  await explain(context, words, texts, answer, [ofNumber("the answer", (row) => row.value, written, Math.abs(answer.value) || 1)]);
}

function written(value) {
  return value === null ? "not a number" : FORMAT.format(value).replace("-", "−");
}
