// The server's interface. What it refuses, and its absence, are errors with a sentence.

const AWAY = "The server can't be reached. Is it still running?";

async function call(path, method = "GET", body) {
  let response;
  try {
    response = await fetch(path, {
      method,
      body: body && JSON.stringify(body),
      headers: body && { "Content-Type": "application/json" },
    });
  } catch {
    throw new Error(AWAY);
  }
  const text = await response.text();
  if (!response.ok) throw refusal(response.status, text);
  return text && JSON.parse(text);
}

/** The sentence of an answer that is an error. `status`: as HTTP has it. */
function refusal(status, text) {
  let sentence;
  try {
    sentence = JSON.parse(text).error.message;
  } catch {
    sentence = `The server failed (HTTP ${status}).`;
  }
  return Object.assign(new Error(sentence), { status });
}

const at = (id, ...rest) => ["/api/jobs", encodeURIComponent(id), ...rest].join("/");
const file = (id, number, rest) => at(id, "files", number, rest);

export const settings = () => call("/api/settings");
export const models = () => call("/api/models");
export const jobs = () => call("/api/jobs");
export const job = (id) => call(at(id));
export const cancel = (id) => call(at(id, "cancel"), "POST");
export const again = (id) => call(at(id, "again"), "POST");
export const remove = (id) => call(at(id), "DELETE");
export const submitToCluster = (id) => call(at(id, "slurm"), "POST");
export const clusterStatus = (id) => call(at(id, "slurm"));
export const transcript = (id, number) => call(file(id, number, "transcript"));
export const saveCorrections = (id, number, corrections) =>
  call(file(id, number, "corrections"), "PUT", corrections);

export const audioAddress = (id, number) => file(id, number, "audio");
export const transcriptAddress = (id, number, format) => file(id, number, `transcript.${format}`);
export const zipAddress = (id, format) => at(id, `export.zip?format=${format}`);
export const correctedAddress = (id) => at(id, "corrected.jsonl");

/**
 * Watches a job: `handlers` by the names of events get their data. `lost(error)` is told that the
 * server is away, and null when it is back. Returns what ends that.
 */
export function watch(id, handlers, lost) {
  const source = new EventSource(at(id, "events"));
  for (const [name, handler] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handler(JSON.parse(event.data)));
  }
  source.addEventListener("open", () => lost(null));
  source.addEventListener("error", () => lost(new Error(AWAY)));
  source.addEventListener("end", () => source.close());
  return () => source.close();
}

/** Sends a form; `progress(sent, all)` in bytes. `signal` aborts it. Returns the new job. */
export function upload(form, progress, signal) {
  return new Promise((fulfil, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/api/jobs");
    request.upload.addEventListener("progress", ({ loaded, total }) => progress(loaded, total));
    request.addEventListener("load", () => {
      if (request.status < 300) fulfil(JSON.parse(request.responseText));
      else reject(refusal(request.status, request.responseText));
    });
    request.addEventListener("error", () => reject(new Error(AWAY)));
    request.addEventListener("abort", () => reject(signal.reason));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** A connection for live audio of `rate` Hz. */
export function liveSocket(rate, options) {
  const query = new URLSearchParams({ rate, ...options });
  return new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/api/live?${query}`);
}
