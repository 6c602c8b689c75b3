// The elements of a segment and of a gap.
import { el } from "./dom.js";
import { FLAGS, isUnsure, sure } from "./doubts.js";
import { clock, spokenTime } from "./text.js";
import { correctedTokens, tokensOf } from "./tokens.js";

/** The token that an element of the class "word" shows. */
export const tokenOf = new WeakMap();

function timeButton(start) {
  return el("button", { type: "button", class: "time", "data-start": start, "aria-label": `Play from ${spokenTime(start)}` }, clock(start));
}

export function gapNode({ start, end }) {
  const sentence = `Speech without words, ${(end - start).toFixed(1)} seconds`;
  return el("li", { class: "gap" },
    timeButton(start),
    el("p", { tabindex: "-1", "data-doubt": sentence, "data-start": start }, sentence),
  );
}

export function segmentNode(segment) {
  const node = el("li", { class: "segment" });
  fillSegment(node, segment);
  return node;
}

/** Shows a segment: `correction` is its text as somebody has corrected it, or undefined. */
export function fillSegment(node, segment) {
  const { start, text, correction, flags = [], lang } = segment;
  const isCorrected = correction !== undefined;
  const tokens = isCorrected ? correctedTokens(tokensOf(segment), correction, start) : tokensOf(segment);
  const isFlagged = !isCorrected && flags.length > 0;
  node.classList.toggle("corrected", isCorrected);
  node.classList.toggle("flagged", isFlagged);
  const words = el("p", { class: "text", dir: "auto", lang });
  appendWords(words, tokens, !isFlagged);
  node.replaceChildren(
    timeButton(start),
    el("div", { class: "body" },
      words,
      ...(isFlagged ? [remark(flags, start)] : []),
      ...(isCorrected ? [history(text, correction)] : []),
    ),
    el("button", { type: "button", class: "edit quiet", "aria-label": `Correct the segment at ${spokenTime(start)}` }, "Correct"),
  );
}

function remark(flags, start) {
  const sentence = flags.map((flag) => FLAGS[flag] ?? flag).join(" ");
  return el("p", { class: "remark", tabindex: "-1", "data-doubt": sentence, "data-start": start }, sentence);
}

function history(text, correction) {
  if (text === correction) return el("p", { class: "history" }, "Checked: the text is right.");
  return el("p", { class: "history" }, "Corrected. It was: ", el("del", { dir: "auto" }, text));
}

/** `visited`: unsure words are stations of the tour, neighbours together as one. */
function appendWords(place, tokens, visited) {
  let station = null;
  for (const token of tokens) {
    const isDoubt = isUnsure(token);
    const word = el(token.changed ? "ins" : "span", { class: isDoubt ? "word unsure" : "word", tabindex: "-1" }, token.text);
    tokenOf.set(word, token);
    word.dataset.start = token.start;
    if (isDoubt) {
      word.title = sure(token);
      word.append(el("span", { class: "unseen" }, ` (${sure(token)})`));
    }
    if (isDoubt && visited) station = addStation(station, word, token);
    else station = null;
    place.append(token.before, word);
  }
}

function addStation(station, word, token) {
  const { node, text, confidence } = station ?? { node: word, text: "", confidence: 1 };
  const all = {
    node,
    text: `${text}${text && token.before}${token.text}`,
    confidence: Math.min(confidence, token.confidence),
  };
  node.dataset.doubt = `“${all.text}”, ${sure(all)}`;
  return all;
}
