// Requests to the REST interface that this page came from.

export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status; // of HTTP, or 0 where there was no answer
  }
}

/** The URL of a path of the interface, also behind a proxy that adds a prefix. */
export function address(path) {
  return new URL(path, document.baseURI).href.split("#")[0];
}

/** Path of a model, of its newest version or a given one. */
export function modelPath(name, version) {
  return `v1/models/${encodeURIComponent(name)}${version ? `/versions/${version}` : ""}`;
}

/**
 * Sends a request and reads its answer.
 *
 * @param {string} path relative to the page
 * @param {string} [body] JSON to POST; without, it is a GET
 * @returns {{text: string, value: object, ms: number}} the answer as it came, read, and how long it took
 * @throws {ServerError} in the server's words; not of its own failures, which may name its files
 */
export async function request(path, body, signal) {
  const start = performance.now();
  let response, text;
  try {
    const options = body === undefined ? {} : { method: "POST", body, headers: { "Content-Type": "application/json" } };
    response = await fetch(address(path), { ...options, signal, cache: "no-store" });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(`The server does not answer: ${error.message}`, 0);
  }
  const ms = performance.now() - start;
  let value = null;
  try {
    value = readJson(text);
  } catch {
    if (response.ok) throw new ServerError(`The answer is no JSON: ${text.slice(0, 200)}`, response.status);
  }
  if (response.status === 500) throw new ServerError("The server failed at this request; its log says why.", 500);
  if (!response.ok) throw new ServerError(value?.error || text || `HTTP ${response.status}`, response.status);
  return { text, value, ms };
}

/** JSON in which NaN and Infinity may stand bare, as the interface writes them; they become null and ±Infinity. */
export function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    const pieces = /"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g;
    const written = { NaN: "null", Infinity: "1e999", "-Infinity": "-1e999" };
    return JSON.parse(text.replace(pieces, (piece) => written[piece] ?? piece));
  }
}

/** Answers to some rows by `ask(rows)`; in halves where the server refuses so many in one request. */
export async function inHalves(rows, ask) {
  try {
    return await ask(rows);
  } catch (error) {
    if (!(error instanceof ServerError) || ![400, 413].includes(error.status) || rows.length < 2) throw error;
    const half = Math.ceil(rows.length / 2);
    return [...await inHalves(rows.slice(0, half), ask), ...await inHalves(rows.slice(half), ask)];
  }
}

/** The command line that sends the same request, for any POSIX shell. */
export function curlLine(path, body) {
  return `curl -d ${quoted(body)} ${quoted(address(path))}`;
}

function quoted(text) {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Signatures of a model by name: `{inputs, outputs, method}`, the tensors as `{name, dtype, shape}`, shape null if of any rank. */
export async function signaturesOf(path) {
  const { value } = await request(`${path}/metadata`);
  const definitions = value.metadata.signature_def.signature_def;
  const tensors = (map) => Object.entries(map ?? {}).map(([name, info]) => ({
    name,
    dtype: String(info.dtype).replace("DT_", "").toLowerCase(),
    shape: info.tensor_shape.unknown_rank ? null : info.tensor_shape.dim.map((dim) => Number(dim.size)),
  })).sort((a, b) => (a.name < b.name ? -1 : 1));
  return Object.fromEntries(Object.entries(definitions)
    .filter(([name]) => !name.startsWith("__"))
    .map(([name, each]) => [name, { inputs: tensors(each.inputs), outputs: tensors(each.outputs), method: each.method_name }]));
}

/** The form that the export of a model's version names, and names of its inputs' columns; empty where it names none, or the server cannot tell. */
export async function statedForm(name, version) {
  try {
    const { value } = await request(`page/form?${new URLSearchParams({ model: name, ...(version ? { version } : {}) })}`);
    return { form: value.form, columns: value.columns ?? {} };
  } catch {
    return { form: "", columns: {} };
  }
}

/** Whether a signature has all these inputs and outputs, and no other input. */
export function fits(signature, inputs, outputs) {
  if (!signature) return false;
  const names = signature.outputs.map((tensor) => tensor.name);
  return signature.inputs.map((tensor) => tensor.name).join() === [...inputs].sort().join()
    && outputs.every((name) => names.includes(name));
}

/** Whether the default signature answers texts, or pairs of texts, with these outputs. */
export function answersTexts(signatures, outputs) {
  return [["text"], ["text", "text_b"]].some((inputs) => fits(signatures.serving_default, inputs, outputs));
}
