// A transcript: its segments and gaps in order of time, the words that can be played, and the place
// of the keyboard in it.
import { reconcile } from "./dom.js";
import { fillSegment, gapNode, segmentNode, tokenOf } from "./segment.js";

export class Transcript {
  /** `list`: the element; `play(seconds)` and `edit(item, node)` are called on the user's behalf. */
  constructor(list, { play, edit }) {
    this.list = list;
    this.play = play;
    this.edit = edit;
    this.items = new WeakMap(); // of each element, and what it looked like then
    this.looks = new WeakMap();
    this.words = [];
    list.addEventListener("click", (event) => this.click(event));
    list.addEventListener("keydown", (event) => this.key(event));
    list.addEventListener("focusin", ({ target }) => this.stand(target));
  }

  clear() {
    this.list.replaceChildren();
    this.words = [];
    this.here = this.playing = null;
  }

  /** Items are segments, with `number` and perhaps `correction`, and gaps, with `isGap`. */
  show(items) {
    const seen = new Map();
    const keys = new Map(items.map((item) => {
      const key = `${item.isGap ? "gap" : "at"} ${item.start}`;
      seen.set(key, (seen.get(key) ?? 0) + 1);
      return [item, `${key} ${seen.get(key)}`];
    }));
    const make = (item) => (item.isGap ? gapNode(item) : this.made(item));
    reconcile(this.list, items, (item) => keys.get(item), make, (node, item) => this.update(node, item));
    this.collectWords();
  }

  made(item) {
    const node = segmentNode(item);
    this.looks.set(node, JSON.stringify(item));
    return node;
  }

  update(node, item) {
    this.items.set(node, item);
    const look = JSON.stringify(item);
    if (item.isGap || this.looks.get(node) === look || node.querySelector("form")) return;
    this.render(node, item);
  }

  /** Renders an element anew; the focus stays at the word where it was. */
  render(node, item) {
    const at = [...node.querySelectorAll(".word")].indexOf(document.activeElement);
    fillSegment(node, item);
    this.items.set(node, item);
    this.looks.set(node, JSON.stringify(item));
    if (at >= 0) this.focusWord(node, at);
  }

  focusWord(node, at = 0) {
    const words = node.querySelectorAll(".word");
    (words[Math.min(at, words.length - 1)] ?? node.querySelector(".edit")).focus();
  }

  collectWords() {
    this.words = [...this.list.querySelectorAll(".word")];
    if (!this.here?.isConnected && this.words.length) this.stand(this.words[0]);
  }

  /** One word at a time is in the order of the tab key, and a button to a screen reader. */
  stand(target) {
    if (!target.classList.contains("word") || target === this.here) return;
    if (this.here) {
      this.here.tabIndex = -1;
      this.here.removeAttribute("role");
    }
    this.here = target;
    target.tabIndex = 0;
    target.setAttribute("role", "button");
  }

  click(event) {
    const place = event.target.closest(".word, .time, .edit");
    if (!place) return;
    if (place.classList.contains("edit")) this.startEdit(place);
    else this.play(Number(place.dataset.start));
  }

  startEdit(place) {
    const node = place.closest(".segment");
    if (node && this.list.classList.contains("editable")) this.edit(this.items.get(node), node);
  }

  key(event) {
    const word = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || word.closest("form")) return;
    if (event.key === "e") this.startEdit(word);
    else if (!word.classList.contains("word")) return;
    else if (event.key === "Enter" || event.key === " ") this.play(tokenOf.get(word).start);
    else if (!this.walk(word, event.key)) return;
    event.preventDefault();
  }

  walk(word, key) {
    const at = this.words.indexOf(word);
    const segment = word.closest(".segment");
    const first = (of) => this.words.findIndex((other) => of.contains(other));
    const targets = {
      ArrowLeft: () => at - 1,
      ArrowRight: () => at + 1,
      ArrowUp: () => this.words.indexOf(this.beside(segment, "previousElementSibling")),
      ArrowDown: () => this.words.indexOf(this.beside(segment, "nextElementSibling")),
      Home: () => first(segment),
      End: () => this.words.findLastIndex((other) => segment.contains(other)),
    };
    if (!(key in targets)) return false;
    this.words[targets[key]()]?.focus();
    return true;
  }

  /** The first word of the segment before or after, over gaps. */
  beside(segment, side) {
    let other = segment[side];
    while (other && !other.querySelector(".word")) other = other[side];
    return other?.querySelector(".word");
  }

  /** Marks the word that is heard at a time, and keeps it in view unless the reader is elsewhere. */
  mark(seconds) {
    const word = this.wordAt(seconds);
    if (word === this.playing) return;
    const before = this.playing;
    before?.classList.remove("playing");
    word?.classList.add("playing");
    this.playing = word;
    const segment = word?.closest(".segment");
    if (segment && before?.isConnected && before.closest(".segment") !== segment && isInView(before)) {
      segment.scrollIntoView({ block: "nearest" });
    }
  }

  wordAt(seconds) {
    let [low, high] = [0, this.words.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (tokenOf.get(this.words[middle]).start <= seconds) low = middle + 1;
      else high = middle;
    }
    const word = this.words[low - 1];
    return word && seconds <= tokenOf.get(word).end + LINGER ? word : null;
  }
}

const LINGER = 0.3; // seconds for which a word stays marked after its end

function isInView(node) {
  const { top, bottom } = node.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}
