// Regression: the number that a text is answered with.

import { h, instance, textFields } from "../parts.js";
import { fits } from "../server.js";

export const kind = "answers texts with a number";

export function matches(signatures) {
  return [["text"], ["text", "text_b"]].some((inputs) => fits(signatures.serving_default, inputs, ["value", "truncated"]));
}

export function modes() {
  return [{ id: "regress", name: "Text", send: "Ask", fields: textFields, run }];
}

async function run(context) {
  const text = context.values().get("text");
  const { value: answer } = await context.ask(JSON.stringify({ instances: [instance(context, text)] }));
  const { value, truncated } = answer.predictions[0];
  const shown = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 }).format(value);
  context.show(
    h("p", { class: "headline" }, shown),
    truncated ? h("p", { class: "warning" }, "The text is longer than the model reads: a part of it was left out.") : null,
  );
  context.say(shown);
}
