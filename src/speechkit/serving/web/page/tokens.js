// The words of a segment with what stands between them, also after a correction.

const MOST_BETWEEN = 3; // characters between two words

/**
 * The text of a segment as tokens: `before` separates a token from the one before, `start` and `end`
 * are in seconds. A segment without words is one token.
 */
export function tokensOf({ words, text, start, end }) {
  if (!words?.length) return [{ before: "", text, start, end }];
  let position = 0;
  return words.map(({ word, ...times }, index) => {
    const at = text.indexOf(word, position);
    const isThere = at >= 0 && at - position <= MOST_BETWEEN;
    const before = isThere ? text.slice(position, at) : index ? " " : "";
    if (isThere) position = at + word.length;
    return { before, text: word, ...times };
  });
}

/**
 * The tokens of a corrected text: words that are as before keep their times, others are `changed`
 * and begin where the one before ends. None has a confidence, as somebody has read them.
 */
export function correctedTokens(tokens, text, start) {
  const words = text.split(/\s+/).filter(Boolean);
  const kept = matches(tokens.map((token) => token.text), words);
  let end = start;
  return words.map((word, index) => {
    const before = index ? " " : "";
    const token = tokens[kept.get(index)];
    if (token) end = token.end;
    return token
      ? { before, text: word, start: token.start, end: token.end }
      : { before, text: word, start: end, end, changed: true };
  });
}

/** The longest common subsequence: the index in `from` of each index in `to` that is in it. */
function matches(from, to) {
  const lengths = Array.from({ length: from.length + 1 }, () => new Uint16Array(to.length + 1));
  for (let i = from.length - 1; i >= 0; i--) {
    for (let j = to.length - 1; j >= 0; j--) {
      lengths[i][j] = from[i] === to[j]
        ? lengths[i + 1][j + 1] + 1
        : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const found = new Map();
  for (let i = 0, j = 0; i < from.length && j < to.length;) {
    if (from[i] === to[j]) found.set(j++, i++);
    else if (lengths[i + 1][j] >= lengths[i][j + 1]) i++;
    else j++;
  }
  return found;
}
