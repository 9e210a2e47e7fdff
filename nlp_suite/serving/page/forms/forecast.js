// Forecasting: a history of numbers, and a chart of what follows it.

import { h, textField } from "../parts.js";

export const kind = "forecasts the next steps of a series";

const SVG = ["http:", "", "www.w3.org", "2000", "svg"].join("/"); // a namespace: nothing is fetched from there
const WIDTH = 640, HEIGHT = 240, MARGIN = 8;
const SHOWN = 60; // steps of the history
const FORMAT = new Intl.NumberFormat("en", { maximumSignificantDigits: 5 });

export function matches(signatures) {
  const { inputs = [], outputs = [] } = signatures.serving_default ?? {};
  const has = (tensors, names) => names.every((name) => tensors.some((tensor) => tensor.name === name));
  return inputs.length === 3 && has(inputs, ["values", "mask", "length"]) && has(outputs, ["forecast"]);
}

export function modes() {
  return [{ id: "forecast", name: "Series", send: "Forecast", fields, run }];
}

function fields(values) {
  return [textField("Values so far, the oldest first", "values", values.get("values") ?? "", 4, "Parted by spaces or line ends; ? is a missing one.")];
}

async function run(context) {
  const history = context.values().get("values").split(/[\s,;]+/).filter(Boolean).map((text) => (text === "?" ? null : Number(text)));
  if (!history.some((value) => value !== null) || history.some((value) => value !== null && !Number.isFinite(value))) {
    context.show(h("p", { class: "error", role: "alert" }, "Give numbers with a decimal point, parted by spaces; ? is a missing one."));
    context.say("not asked");
    return;
  }
  const instance = { values: history.map((value) => value ?? 0), mask: history.map((value) => Number(value !== null)), length: history.length };
  const { value } = await context.ask(JSON.stringify({ instances: [instance] }));
  const row = value.predictions[0], single = Array.isArray(row); // a single output is answered without its name
  const forecast = single ? row : row.forecast, quantiles = single ? null : row.quantiles ?? null;
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
