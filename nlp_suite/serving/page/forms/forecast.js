// Forecasting: a history of numbers, with what stands beside them where the model reads it, and a chart of what follows.

import { field, h, textField } from "../parts.js";

export const kind = "forecasts the next steps of a series";

const SVG = ["http:", "", "www.w3.org", "2000", "svg"].join("/"); // a namespace: nothing is fetched from there
const WIDTH = 640, HEIGHT = 260, MARGIN = 20;
const SHOWN = 60; // steps of the history
const REQUIRED = ["values", "mask", "length"], BESIDE = ["past", "future", "static", "categories", "last"]; // inputs
const FORMAT = new Intl.NumberFormat("en", { maximumSignificantDigits: 5 });

export function matches(signatures) {
  const { inputs = [], outputs = [] } = signatures.serving_default ?? {};
  const names = inputs.map((tensor) => tensor.name);
  return REQUIRED.every((name) => names.includes(name)) && names.every((name) => REQUIRED.includes(name) || BESIDE.includes(name))
    && outputs.some((tensor) => tensor.name === "forecast");
}

export function modes() {
  return [{ id: "forecast", name: "Series", send: "Forecast", fields, run }];
}

/** What the model reads: of each kind of column beside the values its names, and how many steps it forecasts (-1: not known). */
function read(signatures, columns) {
  const { inputs, outputs } = signatures.serving_default;
  const named = (kind) => {
    const tensor = inputs.find(({ name }) => name === kind), count = tensor?.shape?.at(-1) ?? 0;
    return Array.from({ length: Math.max(count, 0) }, (_, i) => columns?.[kind]?.[i] ?? `${kind} ${i + 1}`);
  };
  const [past, future, numbers, categories] = ["past", "future", "static", "categories"].map(named);
  return { past, future, numbers, categories, dated: inputs.some(({ name }) => name === "last"), ahead: outputs.find(({ name }) => name === "forecast").shape?.at(-1) ?? -1 };
}

function fields(values, signatures, columns) {
  const { past, future, numbers, categories, dated, ahead } = read(signatures, columns);
  const line = (label, name, remark) => field(label, h("input", { name, value: values.get(name) ?? "", autocomplete: "off", spellcheck: "false" }), remark);
  const header = ["value", ...past, ...future].map((name) => (/\s/.test(name) ? name.replaceAll(/\s+/g, "_") : name));
  const after = future.length ? ` Below the last value ${ahead > 0 ? `${ahead} lines` : "lines"} more with an empty value or ? in its place: ${future.join(", ")} of the steps ahead.` : "";
  const steps = header.length > 1
    ? tableField("Table of the steps so far, the oldest first", "values", values.get("values") ?? `${header.join("\t")}\n`, 12, `Pasted from a spreadsheet, or parted by commas or spaces; columns: ${header.join(", ")}. ? is a missing one.${after}`)
    : textField("Values so far, the oldest first", "values", values.get("values") ?? "", 4, "Parted by spaces or line ends; ? is a missing one.");
  const beside = [
    dated ? line("Last date", "last", "Of the last value, such as 2024-05-31, 2024-05 or 2024-05-31T14:00.") : null,
    ...numbers.map((name) => line(name, `static:${name}`, "A number; empty: not known.")),
    ...categories.map((name) => line(name, `static:${name}`, "A word of the training data; empty, or any other: not known.")),
  ].filter(Boolean);
  return [steps, beside.length ? h("div", { class: "options" }, beside) : null].filter(Boolean);
}

/** As `textField`, with columns below each other. */
function tableField(...given) {
  const made = textField(...given);
  made.querySelector("textarea").className = "code";
  return made;
}

/** A number as it was typed, null where it is missing. Throws a sentence. */
function number(text, called) {
  const value = ["", "?"].includes(text.trim()) ? null : Number(text);
  if (value !== null && !Number.isFinite(value)) throw new Error(`${called}: ${text.slice(0, 40)} is no number. Give numbers with a decimal point; ? is a missing one.`);
  return value;
}

/** The rows of a pasted table as columns by name; the first line may name them, in any order. Throws a sentence. */
function columnsOf(text, names) {
  const lines = text.split(/\r?\n/).filter((line) => line.trim());
  const split = (line) => (/[\t;,]/.test(line) ? line.split(/[\t;,]/) : line.trim().split(/\s+/)).map((cell) => cell.trim());
  let order = names;
  if (lines.length && split(lines[0]).some((cell) => !["", "?"].includes(cell) && Number.isNaN(Number(cell)))) {
    order = split(lines.shift());
    const lacking = names.filter((name) => !order.includes(name));
    if (lacking.length) throw new Error(`The first line names ${order.join(", ")}; missing: ${lacking.join(", ")}.`);
  }
  const rows = lines.map((line, at) => {
    const cells = split(line);
    if (cells.length !== order.length) throw new Error(`Line ${at + 1} of the table has ${cells.length} cells; the columns are ${order.join(", ")}.`);
    return Object.fromEntries(order.map((name, i) => [name, cells[i]]));
  });
  return Object.fromEntries(names.map((name) => [name, rows.map((row, at) => number(row[name], `Line ${at + 1}, ${name}`))]));
}

/** What is asked. Throws a sentence where something is missing or no number. */
function instanceOf(typed, { past, future, numbers, categories, dated, ahead }) {
  const names = ["value", ...past, ...future].map((name) => name.replaceAll(/\s+/g, "_"));
  const text = typed.get("values");
  const table = names.length > 1 ? columnsOf(text, names) : { value: text.split(/[\s,;]+/).filter(Boolean).map((each) => number(each, "Values")) };
  const places = table.value.flatMap((value, at) => (value === null ? [] : [at]));
  if (!places.length) throw new Error("Give numbers with a decimal point, one of them at least; ? is a missing one.");
  const length = future.length ? places.at(-1) + 1 : table.value.length, values = table.value.slice(0, length);
  const instance = { values: values.map((value) => value ?? 0), mask: values.map((value) => Number(value !== null)), length };
  const rows = (kinds, count) => Array.from({ length: count }, (_, at) => kinds.map((name) => table[name.replaceAll(/\s+/g, "_")][at] ?? NaN));
  if (past.length) instance.past = rows(past, length);
  if (future.length) {
    instance.future = rows(future, table.value.length);
    const known = instance.future.slice(length, length + Math.max(ahead, 0));
    if (known.length < ahead || known.flat().some(Number.isNaN)) {
      throw new Error(`${future.join(", ")} must be known for the ${ahead} steps ahead: ${known.filter((row) => !row.some(Number.isNaN)).length} lines below the last value have all of it.`);
    }
  }
  if (numbers.length) instance.static = numbers.map((name) => number(typed.get(`static:${name}`), name) ?? NaN);
  if (categories.length) instance.categories = categories.map((name) => typed.get(`static:${name}`).trim());
  if (dated) {
    const date = typed.get("last").trim(), milliseconds = /^\d{4}-\d\d/.test(date) ? Date.parse(date.includes("T") && !/(Z|[+-]\d\d:?\d\d)$/.test(date) ? `${date}Z` : date) : NaN;
    if (Number.isNaN(milliseconds)) throw new Error("Give the date of the last value, such as 2024-05-31: the model reads the calendar.");
    instance.last = milliseconds / 1000;
  }
  return instance;
}

async function run(context) {
  let instance;
  try {
    instance = instanceOf(context.values(), read(context.signatures, context.columns));
  } catch (error) {
    context.show(h("p", { class: "error", role: "alert" }, error.message));
    context.say("not asked");
    return;
  }
  const body = JSON.stringify({ instances: [instance] }, (_, value) => (Number.isNaN(value) ? "\u0000NaN" : value)).replaceAll('"\\u0000NaN"', "NaN"); // as TensorFlow Serving reads it
  const { value } = await context.ask(body);
  const row = value.predictions[0], single = Array.isArray(row); // a single output is answered without its name
  const forecast = single ? row : row.forecast, quantiles = single ? null : row.quantiles ?? null;
  const history = instance.values.map((each, at) => (instance.mask[at] ? each : null));
  context.show(chart(history.slice(-SHOWN), forecast, quantiles), table(forecast, quantiles));
  context.say(`${forecast.length} steps ahead`);
}

/** The end of the history, the forecast, and the band from its lowest to its highest quantile. */
function chart(history, forecast, quantiles) {
  const low = quantiles?.map((levels) => levels[0]), high = quantiles?.map((levels) => levels.at(-1));
  const all = [...history, ...forecast, ...(low ?? []), ...(high ?? [])].filter((value) => value !== null);
  const bottom = Math.min(...all), range = Math.max(...all) - bottom || 1, steps = history.length + forecast.length - 1 || 1;
  const x = (step) => MARGIN + (step / steps) * (WIDTH - 2 * MARGIN);
  const y = (value) => HEIGHT - MARGIN - ((value - bottom) / range) * (HEIGHT - 2 * MARGIN);
  const point = (value, step) => (value === null ? null : `${x(step).toFixed(1)},${y(value).toFixed(1)}`);
  const after = (values) => values.map((value, step) => point(value, history.length + step));
  const shape = (tag, points, props) => part(tag, { points: points.filter(Boolean).join(" "), fill: "none", "stroke-width": 2, ...props });
  const label = `Chart: ${history.length} steps so far and ${forecast.length} steps ahead`;
  const svg = part("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: "100%", role: "img", "aria-label": label });
  for (const [value, at] of [[bottom + range, 12], [bottom, HEIGHT - 2]]) {
    const text = part("text", { x: 0, y: at, "font-size": 12, fill: "currentColor", "fill-opacity": 0.75, "aria-hidden": "true" });
    text.textContent = FORMAT.format(value);
    svg.append(text);
  }
  if (low) svg.append(shape("polygon", [...after(low), ...after(high).reverse()], { fill: "currentColor", "fill-opacity": 0.15 }));
  svg.append(shape("polyline", history.map(point), { stroke: "currentColor", "stroke-opacity": 0.6 }));
  svg.append(shape("polyline", after(forecast), { stroke: "currentColor", "stroke-width": 3 }));
  return svg;
}

function part(tag, props) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) element.setAttribute(name, value);
  return element;
}

function table(forecast, quantiles) {
  const cells = (tag, texts) => h("tr", {}, texts.map((text) => h(tag, {}, text)));
  const between = quantiles && quantiles[0].length > 1;
  const rows = forecast.map((value, step) => cells("td", [
    String(step + 1), FORMAT.format(value),
    ...(between ? [`${FORMAT.format(quantiles[step][0])} to ${FORMAT.format(quantiles[step].at(-1))}`] : []),
  ]));
  return h("table", {}, cells("th", ["steps ahead", "forecast", ...(between ? ["lowest to highest quantile"] : [])]), rows);
}
