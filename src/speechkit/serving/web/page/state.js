// What is to be said of a job, and what can be done with it.
import * as api from "./api.js";
import { clock, count, percent } from "./text.js";

export const isActive = ({ state }) => state === "queued" || state === "running";

export const nameOf = ({ files }) =>
  files.length > 1 ? `${files[0].name} and ${count(files.length - 1, "other")}` : (files[0]?.name ?? "No file");

/** "1:12 of 3:40 (32 %)", as far as the length is known. */
export function progressOf({ seconds_done: done, seconds }) {
  return seconds ? `${clock(done)} of ${clock(seconds)} (${percent(done / seconds)})` : clock(done);
}

/** `flags`: how many files have each; the others are of the file, not of its text. */
export const hasDoubts = ({ flags }) => ["doubtful", "hallucination", "low_coverage"].some((flag) => flags[flag]);

const failures = ({ files }) => files.filter(({ state }) => state === "failed").length;

export function stateOf(job) {
  switch (job.state) {
    case "queued": return "Waiting";
    case "running": return "Transcribing";
    case "failed": return "Failed";
    case "cancelled": return "Cancelled";
    default: return failures(job) ? `Done, but ${count(failures(job), "file")} failed` : "Done";
  }
}

export const actions = {
  cancel: { label: "Cancel", fits: isActive, work: api.cancel },
  again: {
    label: "Run again",
    fits: (job) => job.state === "failed" || job.state === "cancelled" || (job.state === "done" && failures(job) > 0),
    work: api.again,
  },
  delete: { label: "Delete", fits: (job) => !isActive(job), work: api.remove },
};
