// What is doubtful in a transcript, in words, and the tour from one doubt to the next.
import { say, setText } from "./dom.js";
import { count, clock, percent } from "./text.js";

/**
 * Confidence below which a word is marked. Of Whisper base on 50 utterances of LibriSpeech
 * test-other, that is one word in eight; 44 % of them are wrong, and they are half of the errors.
 */
const UNSURE = 0.6;

export const FLAGS = {
  doubtful: "The model doubts this text, or there was hardly time to say it.",
  hallucination: "The text repeated itself; one repetition is kept.",
  header_disagrees: "The file states another length than its sound has.",
  other_tracks: "The file has several tracks; the one marked as default was transcribed.",
  damaged: "Parts of the file can't be decoded, and were taken for silence.",
  channels_cancel: "The channels cancel each other; only the loudest was transcribed.",
};

export const isUnsure = ({ confidence }) => confidence !== undefined && confidence < UNSURE;

export const sure = ({ confidence }) => `${percent(confidence)} sure`;

/** Leads through the elements with `data-doubt`, a sentence, and `data-start`, in seconds. */
export class Tour {
  constructor(node, list) {
    this.node = node;
    this.list = list;
    node.querySelector(".previous").addEventListener("click", () => this.go(-1));
    node.querySelector(".next").addEventListener("click", () => this.go(1));
    list.addEventListener("focusin", ({ target }) => this.stand(target));
  }

  reset() {
    this.last = null; // the element last visited, and its time, as it may be rendered anew
    this.time = -1;
    this.refresh();
  }

  doubts() {
    return [...this.list.querySelectorAll("[data-doubt]")];
  }

  refresh() {
    const number = this.doubts().length;
    this.node.hidden = !this.list.children.length;
    for (const button of this.node.querySelectorAll("button")) button.disabled = !number;
    setText(this.node.querySelector(".count"), number ? count(number, "doubt") : "No doubts");
  }

  /** Goes on from where the focus is. */
  stand(target) {
    const start = Number(target.closest("[data-start]")?.dataset.start);
    if (target === this.last || Number.isNaN(start)) return;
    this.last = null;
    this.time = start;
  }

  go(step) {
    const doubts = this.doubts();
    if (!doubts.length) return;
    const at = this.after(doubts, step);
    const doubt = doubts[(at + doubts.length) % doubts.length];
    this.last = doubt;
    this.time = Number(doubt.dataset.start);
    doubt.scrollIntoView({ block: "center" });
    doubt.focus({ preventScroll: true });
    const place = `${doubts.indexOf(doubt) + 1} of ${doubts.length}`;
    setText(this.node.querySelector(".count"), `${place}: ${doubt.dataset.doubt}`);
    say(`Doubt ${place}, at ${clock(this.time)}: ${doubt.dataset.doubt}`);
  }

  after(doubts, step) {
    const at = doubts.indexOf(this.last);
    if (at >= 0) return at + step;
    const later = doubts.findIndex(({ dataset }) => Number(dataset.start) > this.time);
    const next = later < 0 ? doubts.length : later;
    if (step > 0) return next % doubts.length;
    return doubts.findLastIndex(({ dataset }) => Number(dataset.start) < this.time);
  }
}
