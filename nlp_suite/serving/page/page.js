// The page: which model is shown, its state, its form, and what was asked last.

import { FORMS } from "./forms.js";
import { modes as nearestModes } from "./nearest.js";
import { copyButton, field, h, milliseconds } from "./parts.js";
import { address, curlLine, modelPath, request, signaturesOf, statedForm } from "./server.js";

const POLL = 5000; // milliseconds between two questions about the state
const main = document.getElementById("main");
const values = new Map(); // what was typed, by model
let view = null; // the model that is shown
let names = [];

/** The form that the export names, if its signatures suit it; else the first that they suit, and "any" for all others. */
function formFor(stated, signatures) {
  if (FORMS.get(stated)?.matches(signatures)) return FORMS.get(stated);
  const { any, ...others } = Object.fromEntries(FORMS);
  return Object.values(others).find((form) => form.matches(signatures)) ?? any;
}

class View {
  constructor(name, link) {
    this.name = name;
    this.version = link.get("version") ?? "";
    this.mode = link.get("mode") ?? "";
    if (!values.has(name)) values.set(name, new Map());
    for (const [key, value] of link) if (!["model", "mode", "version", "run"].includes(key)) values.get(name).set(key, value);
    this.runs = link.get("run") === "1";
    this.signatures = this.ready = null;
    this.stated = {}; // the form that the export names, and names of columns
    this.states = [];
    this.reached = true; // whether the server answered when it was asked last
    this.facts = h("dl", { class: "facts" });
    this.versions = h("select", { onchange: (event) => { this.version = event.target.value; this.ready = null; this.writeAddress(); this.poll(); } });
    this.picker = field("Ask version", this.versions);
    this.picker.hidden = true;
    this.form = h("div");
    this.title = h("p", { class: "muted kind" });
    main.replaceChildren(
      h("section", { class: "card head" }, h("div", {}, h("h1", { dir: "auto" }, name), this.title), this.facts, this.picker), this.form);
  }

  get path() {
    return modelPath(this.name, this.version);
  }

  /** Reads the states, and the signatures where versions have changed; draws the form where those have. */
  async poll() {
    let signatures = this.signatures, stated = this.stated, problem = null, states = [], ready = [];
    try {
      states = (await request(modelPath(this.name))).value.model_version_status ?? [];
      ready = states.filter((each) => each.state === "AVAILABLE").map((each) => each.version);
      if (ready.length && ready.join() !== this.ready) {
        [signatures, stated] = await Promise.all([signaturesOf(this.path), statedForm(this.name, this.version)]);
      }
    } catch (error) {
      problem = error;
    }
    if (view !== this) return;
    this.states = states;
    this.reached = !problem || problem.status > 0;
    this.ready = problem ? null : ready.join();
    this.drawHead();
    if (JSON.stringify([signatures, stated]) !== JSON.stringify([this.signatures, this.stated])) {
      [this.signatures, this.stated] = [signatures, stated];
      this.drawForm();
    } else if (!signatures) {
      this.form.replaceChildren(h("section", { class: "card" }, problem ? h("p", { class: "error", role: "alert" }, problem.message)
        : h("p", {}, "No version can answer at present. The page looks again every few seconds.")));
    }
  }

  drawHead() {
    const ready = this.states.filter((each) => each.state === "AVAILABLE").map((each) => each.version);
    const shown = this.version || ready[0] || this.states[0]?.version;
    const state = this.states.find((each) => each.version === shown)?.state ?? (this.reached ? "not there" : "not reached");
    const pairs = [
      ["state", h("span", { class: state === "AVAILABLE" ? "state good" : "state bad" }, state)],
      ["version", shown ?? "–"],
      ["last request", this.latency === undefined ? "–" : milliseconds(this.latency)],
    ];
    this.facts.replaceChildren(...pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
    for (const each of this.states.filter((each) => each.status?.error_message)) {
      this.facts.append(h("div", { class: "wide" }, h("dt", {}, `version ${each.version}, ${each.state}`), h("dd", { class: "error" }, "It could not be loaded; the server's log says why.")));
    }
    this.picker.hidden = ready.length < 2 && !this.version;
    const choices = !this.version || ready.includes(this.version) ? ready : [this.version, ...ready];
    if (this.versions.dataset.shown === choices.join()) return;
    this.versions.dataset.shown = choices.join();
    this.versions.replaceChildren(h("option", { value: "" }, "newest"), ...choices.map((version) => h("option", { value: version }, version)));
    this.versions.value = this.version;
  }

  drawForm() {
    this.stop();
    const form = formFor(this.stated.form, this.signatures), any = FORMS.get("any");
    this.title.textContent = form.kind;
    this.modes = [...form.modes(this.signatures), ...(form === any ? [] : [...nearestModes(this.signatures), ...any.modes()])];
    const mode = this.modes.find((each) => each.id === this.mode) ?? this.modes[0];
    this.mode = mode.id;
    this.answer = h("section", { class: "card answer", "aria-label": "Answer", hidden: true });
    this.log = h("section", { class: "card", "aria-label": "Request", hidden: true });
    this.status = h("p", { class: "offscreen", role: "status" });
    this.stopButton = h("button", { type: "button", hidden: true, onclick: () => this.stop() }, "Stop");
    this.fields = h("form", { class: "card", onsubmit: (event) => { event.preventDefault(); this.send(mode); }, oninput: () => this.keep(), onkeydown: (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.fields.requestSubmit();
      if (event.key === "Escape") this.stop();
    } },
    this.modes.length > 1 ? this.switch(mode) : null,
    ...mode.fields(values.get(this.name), this.signatures, this.stated.columns),
    h("p", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, mode.send), this.stopButton, h("span", { class: "muted keys" }, h("kbd", {}, "Ctrl"), " + ", h("kbd", {}, "Enter"))));
    this.form.replaceChildren(this.fields, this.status, this.answer, this.log);
    this.writeAddress();
    if (this.runs) this.fields.requestSubmit();
    this.runs = false;
  }

  switch(mode) {
    const choices = this.modes.map((each) => {
      const radio = h("input", { type: "radio", name: "mode", value: each.id, checked: each === mode, onchange: () => {
        this.mode = each.id;
        this.drawForm();
        this.fields.querySelector("input[name=mode]:checked").focus();
      } });
      return h("label", {}, radio, h("span", {}, each.name));
    });
    return h("fieldset", { class: "switch" }, h("legend", { class: "offscreen" }, "What to ask"), choices);
  }

  typed() {
    const data = new Map([...new FormData(this.fields)].map(([key, value]) => [key, value.replaceAll("\r\n", "\n")]));
    data.delete("mode");
    return data;
  }

  keep() {
    for (const [key, value] of this.typed()) values.get(this.name).set(key, value);
  }

  stop() {
    this.control?.abort();
  }

  /** What the address line needs to show this model, and with `more` what to ask it. */
  link(more) {
    return new URLSearchParams({ model: this.name, ...(this.version ? { version: this.version } : {}), ...(this.mode && this.mode !== this.modes?.[0].id ? { mode: this.mode } : {}), ...more });
  }

  writeAddress() {
    history.replaceState(null, "", `#${this.link({})}`);
  }

  async send(mode) {
    this.stop();
    this.keep();
    const control = (this.control = new AbortController()), requests = [], typed = this.typed();
    const current = () => this.control === control && view === this;
    const context = {
      signatures: this.signatures,
      columns: this.stated.columns,
      values: () => typed,
      offers: (id) => this.modes.some((each) => each.id === id),
      go: (id, fields) => {
        for (const [key, value] of Object.entries(fields)) values.get(this.name).set(key, value);
        this.mode = id;
        this.runs = true;
        this.drawForm();
        this.fields.querySelector("textarea")?.focus();
      },
      show: (...nodes) => {
        if (!current()) return;
        this.answer.replaceChildren(...nodes.filter(Boolean));
        this.answer.hidden = false;
      },
      say: (text) => current() && (this.status.textContent = text),
      ask: async (body, { verb = "predict", quiet = false, shown = body, more = "" } = {}) => {
        const path = `${this.path}:${verb}`;
        if (!quiet && (requests.length === 0 || more)) this.drawRequests(requests, curlLine(path, shown), more, typed);
        const answer = await request(path, body, control.signal);
        if (!quiet && !more && current()) this.drawLatency(answer.ms);
        return answer;
      },
    };
    this.status.textContent = "";
    this.stopButton.hidden = false;
    this.answer.setAttribute("aria-busy", "true");
    try {
      await mode.run(context);
    } catch (error) {
      if (!current() || error.name === "AbortError") return;
      if (error.status === undefined) console.error(error);
      const message = h("p", { class: "error", role: "alert" }, error.status ? h("b", {}, `${error.status} `) : null, error.message);
      if (requests.length > 1) this.answer.append(message);
      else context.show(message);
      this.poll();
    } finally {
      if (this.control === control) {
        this.stopButton.hidden = true;
        this.answer.removeAttribute("aria-busy");
      }
    }
  }

  drawLatency(ms) {
    this.latency = ms;
    this.drawHead();
  }

  drawRequests(requests, line, title, typed) {
    requests.push(h("div", {},
      h("div", { class: "line" }, h("h2", {}, title || "The same by curl"), copyButton("Copy", () => line)),
      h("pre", { tabindex: "0", role: "region", "aria-label": "curl line" }, line)));
    const link = copyButton("Copy a link that asks this", () => `${address("")}#${this.link({ ...Object.fromEntries(typed), run: 1 })}`);
    this.log.replaceChildren(...requests, h("p", { class: "buttons" }, link));
    this.log.hidden = false;
  }
}

function drawNames() {
  document.getElementById("models").replaceChildren(...names.map((name) =>
    h("li", {}, h("a", { href: `#${new URLSearchParams({ model: name })}`, "aria-current": name === view?.name ? "page" : null, dir: "auto" }, name))));
}

function show() {
  const link = new URLSearchParams(location.hash.slice(1));
  const name = link.get("model") ?? names[0];
  view?.stop();
  if (name === undefined) {
    view = null;
    main.replaceChildren(h("p", { class: "card" }, "No model is loaded."));
    return;
  }
  view = new View(name, link);
  document.title = `${name} · nlp_suite`;
  drawNames();
  view.poll();
}

async function readNames() {
  let listed;
  try {
    listed = (await request("page/models")).value.models.map((model) => model.name);
  } catch (error) {
    if (!view) main.replaceChildren(h("p", { class: "card error", role: "alert" }, error.message));
    return;
  }
  if (listed.join() === names.join() && view) return;
  names = listed;
  drawNames();
  if (!view) show();
}

document.getElementById("host").textContent = location.host;
addEventListener("hashchange", show);
setInterval(() => {
  if (document.hidden) return;
  readNames();
  view?.poll();
}, POLL);
readNames();
