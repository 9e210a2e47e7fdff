// Any signature of any model: its inputs as JSON, and the answer as it came.

import { counted, field, h } from "../parts.js";

export const kind = "a SavedModel";

const VERBS = { "tensorflow/serving/classify": "classify", "tensorflow/serving/regress": "regress" };
const MAX_VALUES = 4096; // of a prefilled input
const MAX_SHOWN = 100_000; // characters of an answer

export function matches() {
  return true;
}

export function modes() {
  return [{ id: "json", name: "JSON", send: "Send", fields, run }];
}

function fields(values, signatures) {
  const names = Object.keys(signatures).sort((a, b) => (b === "serving_default") - (a === "serving_default") || (a < b ? -1 : 1));
  if (!names.length) return [h("p", {}, "The model has no signatures.")];
  const chosen = values.get("signature"), first = names.includes(chosen) ? chosen : names[0];
  const select = h("select", { name: "signature" }, names.map((name) => h("option", { value: name, selected: name === first }, name)));
  const inputs = h("div", { class: "inputs" });
  const fill = (typed) => inputs.replaceChildren(...inputFields(signatures, select.value, typed));
  select.addEventListener("change", () => fill(new Map()));
  fill(values);
  return [field("Signature", select), inputs];
}

function inputFields(signatures, name, values) {
  const signature = signatures[name], verb = VERBS[signature.method];
  const outputs = signature.outputs.map(described).join(", ");
  const controls = verb ? [json("examples", "tf.Example, one object each", values, `[${example(signatures)}]`)]
    : signature.inputs.map((tensor) => json(tensor.name, described(tensor, false), values, filled(tensor)));
  return [...controls, h("p", { class: "muted note" }, `Answers ${verb ? `by :${verb}` : outputs}.`)];
}

function json(name, remark, values, template) {
  const area = h("textarea", { name: `input:${name}`, rows: 2, spellcheck: "false", autocapitalize: "off", class: "code" });
  area.value = values.get(`input:${name}`) ?? template;
  return field(name, area, remark);
}

function described({ name, dtype, shape }, named = true) {
  const dims = shape === null ? "of any shape" : `[${shape.map((size) => (size < 0 ? "?" : size)).join(", ")}]`;
  return `${named === false ? "" : `${name}: `}${dtype} ${dims}`;
}

/** JSON of a value of the tensor's type and shape, one long where the length is free. */
function filled({ dtype, shape }) {
  const dims = (shape ?? [1]).map((size) => (size < 0 ? 1 : size));
  const value = { string: '"text"', bool: "false", float: "1.0", double: "1.0" }[dtype] ?? "1";
  if (dims.reduce((a, b) => a * b, 1) > MAX_VALUES) return value;
  return dims.reduceRight((inner, size) => `[${Array(size).fill(inner).join(", ")}]`, value);
}

/** JSON of an example whose features are named as the inputs of `serving_default` are. */
function example(signatures) {
  const inputs = signatures.serving_default?.inputs ?? [];
  const features = inputs.length ? inputs : [{ name: "x", dtype: "float" }];
  return `{${features.map(({ name, dtype }) => `${JSON.stringify(name)}: ${filled({ dtype, shape: [] })}`).join(", ")}}`;
}

/** The body is made of the fields' text as typed: the server says what is wrong with it. */
async function run(context) {
  const values = context.values(), name = values.get("signature");
  const verb = VERBS[context.signatures[name].method];
  const pairs = [...values].filter(([key]) => key.startsWith("input:")).map(([key, text]) => [key.slice("input:".length), text]);
  const head = `{"signature_name": ${JSON.stringify(name)}, `;
  const body = verb ? `${head}"examples": ${pairs[0][1]}}`
    : `${head}"inputs": {${pairs.map(([key, text]) => `${JSON.stringify(key)}: ${text}`).join(", ")}}}`;
  const { text } = await context.ask(body, { verb: verb ?? "predict" });
  const more = text.length - MAX_SHOWN;
  context.show(
    h("pre", { tabindex: "0", role: "region", "aria-label": "Answer" }, text.slice(0, MAX_SHOWN)),
    more > 0 ? h("p", { class: "muted" }, `… ${counted(more, "more character")}, not shown`) : null,
  );
  context.say("answered");
}
