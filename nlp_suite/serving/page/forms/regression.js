// Regression: the number that a text is answered with.

import { h, textField } from "../parts.js";
import { fits } from "../server.js";

export const kind = "answers texts with a number";

export function matches(signatures) {
  return fits(signatures.serving_default, ["text"], ["value", "truncated"]);
}

export function modes() {
  return [{ id: "regress", name: "Text", send: "Ask", fields, run }];
}

function fields(values) {
  return [textField("Text", "text", values.get("text") ?? "A wonderful film, well worth the wait.")];
}

async function run(context) {
  const text = context.values().get("text");
  const { value: answer } = await context.ask(JSON.stringify({ instances: [text] }));
  const { value, truncated } = answer.predictions[0];
  const shown = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 }).format(value);
  context.show(
    h("p", { class: "headline" }, shown),
    truncated ? h("p", { class: "warning" }, "The text is longer than the model reads: a part of it was left out.") : null,
  );
  context.say(shown);
}
