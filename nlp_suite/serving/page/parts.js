// Building blocks of the page. Text only ever becomes text: nothing here reads markup.

/** An element. `props`: attributes; `on…` are listeners, `w` is the depth of its colour or the length of its bar (0 to 1). */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "w") element.style.setProperty("--w", Math.min(Math.max(value || 0, 0), 1).toFixed(3));
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

let ids = 0;

/** A label above a control, with a remark under it. */
export function field(label, control, remark) {
  control.id = `field-${++ids}`;
  const note = remark ? h("small", { class: "muted", id: `${control.id}-note` }, remark) : null;
  if (note) control.setAttribute("aria-describedby", note.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, note);
}

export function textField(label, name, value, rows = 4, remark = "") {
  const area = h("textarea", { name, rows, dir: "auto", spellcheck: "false", autocapitalize: "off" });
  area.value = value;
  return field(label, area, remark);
}

/** A bar of that share with its label on the left and a number on the right; with a stroke at `limit`, where one is given. */
export function bar(label, share, number, chosen = false, limit = null) {
  return h("li", { class: chosen ? "bar chosen" : "bar" },
    h("span", { class: "name", dir: "auto" }, label),
    h("span", { class: "track", "aria-hidden": "true" }, h("i", { w: share }), limit === null ? null : h("u", { w: limit })),
    h("span", { class: "number" }, number, limit === null ? null : h("span", { class: "offscreen" }, `, given from ${percent(limit)}`)));
}

/** Numbers with their names in a row. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/**
 * Makes `items` one stop of the Tab key, with arrow keys moving between them; `show(i)` is called for the one that is
 * pointed at or focused, `show(null)` for none.
 */
export function explore(items, show) {
  const settle = () => {
    const focused = items.indexOf(document.activeElement);
    show(focused >= 0 ? focused : null);
  };
  items.forEach((item, i) => {
    item.tabIndex = i ? -1 : 0;
    item.addEventListener("pointerenter", () => show(i));
    item.addEventListener("pointerleave", settle);
    item.addEventListener("blur", settle);
    item.addEventListener("focus", () => {
      for (const other of items) other.tabIndex = other === item ? 0 : -1;
      show(i);
    });
    item.addEventListener("keydown", (event) => {
      const to = { ArrowRight: i + 1, ArrowDown: i + 1, ArrowLeft: i - 1, ArrowUp: i - 1, Home: 0, End: items.length - 1 }[event.key];
      if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      items[Math.min(Math.max(to, 0), items.length - 1)].focus();
    });
  });
}

/** A button that copies what `text()` gives; where the browser withholds the clipboard (plain HTTP), by selection. */
export function copyButton(label, text) {
  const button = h("button", { type: "button", class: "quiet", onclick: copy }, label);
  async function copy() {
    let copied = true;
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      const area = h("textarea", { class: "offscreen", readonly: true });
      area.value = text();
      document.body.append(area);
      area.select();
      copied = document.execCommand("copy");
      area.remove();
      button.focus();
    }
    button.textContent = copied ? "Copied" : "Not allowed here";
    setTimeout(() => (button.textContent = label), 1500);
  }
  return button;
}

/** A share as a percentage that is never rounded up to 100 % or down to 0 %. */
export function percent(share, digits = 1) {
  if (share === null) return "not a number";
  const unit = 10 ** -digits;
  if (share > 0 && share * 100 < unit / 2) return `<${unit.toFixed(digits)} %`;
  if (share < 1 && Number((share * 100).toFixed(digits)) >= 100) return `>${(100 - unit).toFixed(digits)} %`;
  return `${(share * 100).toFixed(digits)} %`;
}

/** A number with digits that suit its size, and a true minus sign. */
export function number(value, digits = 2) {
  if (value === null || Number.isNaN(value)) return "not a number";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");
}

/** A perplexity in about four digits. */
export function perplexity(value) {
  if (!(value <= 1e6)) return "> 1,000,000";
  return number(value, value >= 1000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3);
}

export function milliseconds(value) {
  return `${value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en")} ms`;
}

export function counted(count, name) {
  return `${count.toLocaleString("en")} ${name}${count === 1 ? "" : "s"}`;
}

/** The field of the text to ask about; of models that read two texts together, the second one's beside it. */
export function textFields(values, signatures) {
  const first = textField("Text", "text", values.get("text") ?? "A wonderful film, well worth the wait.");
  const isPair = signatures.serving_default.inputs.some(({ name }) => name === "text_b");
  return isPair ? [first, textField("Second text", "text_b", values.get("text_b") ?? "It was worth it.")] : [first];
}

/** What was typed into `textFields`: `{text}`, or `{text, text_b}`. */
export function typedTexts(context) {
  return Object.fromEntries([...context.values()].filter(([name]) => name === "text" || name === "text_b"));
}

/** What a request asks about `{text}` or `{text, text_b}`. */
export function instance(texts) {
  return "text_b" in texts ? texts : texts.text;
}

/** A warning that the model did not read the whole text, where that is so. */
export function cutWarning(truncated) {
  return truncated ? h("p", { class: "warning" }, "The text is longer than the model reads: a part of it was left out.") : null;
}
