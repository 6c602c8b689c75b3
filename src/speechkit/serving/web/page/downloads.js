// Links to a job's results in all formats.
import * as api from "./api.js";
import { el } from "./dom.js";

const JSONL = "jsonl"; // the record itself, which is no format
const NAMES = {
  txt: "Text", srt: "Subtitles (SRT)", vtt: "Subtitles (WebVTT)", tsv: "Table (TSV)",
  ctm: "Words with times (CTM)", textgrid: "Praat TextGrid", jsonl: "All details (JSON)",
};

/** As people look for them, and what the page doesn't know yet behind. */
const inOrder = (formats) => [...new Set([...Object.keys(NAMES).filter((name) => name === JSONL || formats.includes(name)), ...formats])];

/** `place`: a details element; it is hidden while nothing can be had. */
export function fillDownloads(place, job, number, formats) {
  const isDone = ({ state }) => state === "done";
  const file = job.files[number - 1];
  place.hidden = !job.files.some(isDone);
  const group = (heading, links) => el("div", {}, el("h2", {}, heading), el("ul", {}, ...links));
  const link = (href, text) => el("li", {}, el("a", { href, download: "" }, text));
  const all = (address) => inOrder(formats).map((format) => link(address(format), NAMES[format] ?? format.toUpperCase()));
  const isOne = job.files.length === 1;
  place.querySelector(".panel").replaceChildren(
    ...(file && isDone(file) ? [group(isOne ? "Transcript" : file.name, all((format) => api.transcriptAddress(job.id, number, format)))] : []),
    ...(isOne ? [] : [group("All files, as a zip", all((format) => api.zipAddress(job.id, format)))]),
    group("To score and to train", [link(api.correctedAddress(job.id), "Corrected manifest (JSON Lines)")]),
  );
}

/** A click elsewhere or Escape closes the list. */
export function closeOutside(place) {
  document.addEventListener("click", ({ target }) => {
    if (!place.contains(target)) place.open = false;
  });
  place.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape") return;
    place.open = false;
    place.querySelector("summary").focus();
  });
}
