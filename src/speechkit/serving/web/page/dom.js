// Elements, and the sentences for everybody. Texts are only ever set as text.

/** An element; `properties` are attributes, `class`, and listeners as `onclick`. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/**
 * Makes the children of `parent` those of `items`. A child whose key stays is kept, and with it the
 * focus. `make(item)` gives an element, `update(element, item)` brings it up to date.
 */
export function reconcile(parent, items, key, make, update = () => {}) {
  const kept = new Map();
  const keys = new Set(items.map((item) => String(key(item))));
  for (const node of [...parent.children]) {
    if (keys.has(node.dataset.key)) kept.set(node.dataset.key, node);
    else node.remove();
  }
  let next = parent.firstElementChild;
  for (const item of items) {
    let node = kept.get(String(key(item)));
    if (!node) {
      node = make(item);
      node.dataset.key = key(item);
    }
    update(node, item);
    if (node === next) next = next.nextElementSibling;
    else parent.insertBefore(node, next);
  }
}

/** Sets a text where it differs, so that a screen reader is not told the same again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Tells a screen reader something that can be seen anyway. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** Shows a sentence on what went wrong; none takes it away. */
export function complain(error) {
  const place = document.getElementById("trouble");
  place.hidden = !error;
  setText(place, error ? error.message : "");
}

/** Runs what a control does, and shows its error. The control is off until it has ended. */
export function action(work) {
  return async (event) => {
    const control = event?.currentTarget;
    if (control?.getAttribute("aria-disabled") === "true") return;
    control?.setAttribute?.("aria-disabled", "true");
    complain(null);
    try {
      await work(event);
    } catch (error) {
      complain(error);
    } finally {
      control?.removeAttribute?.("aria-disabled");
    }
  };
}
