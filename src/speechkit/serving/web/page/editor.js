// The text of a segment, corrected where it stands.
import { complain, el, say } from "./dom.js";
import { clock } from "./text.js";

/**
 * Opens a segment's text. `save(text)` keeps it, null what the model wrote; `close()` is called when
 * all is done. A text that can't be saved stays open.
 */
export function editSegment(node, item, { save, close }) {
  const area = el("textarea", { dir: "auto", rows: 1, "aria-label": `Text of the segment at ${clock(item.start)}`, "aria-describedby": "edit-keys" });
  area.value = item.correction ?? item.text;
  const keep = async (text) => {
    complain(null);
    try {
      await save(text);
    } catch (error) {
      complain(error);
      area.focus();
      return;
    }
    say(text === null ? "The original text is back." : "Saved.");
    close();
  };
  const form = el("form", { class: "editor" },
    area,
    el("p", { class: "actions" },
      el("button", { class: "main" }, "Save"),
      el("button", { type: "button", onclick: close }, "Cancel"),
      ...(item.correction === undefined ? [] : [el("button", { type: "button", onclick: () => keep(null) }, "Restore the original")]),
      el("span", { class: "note", id: "edit-keys" }, "Enter saves, Escape cancels."),
    ),
  );
  const fit = () => {
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight + 2}px`;
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keep(area.value.replace(/\s+/g, " ").trim());
  });
  area.addEventListener("input", fit);
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    else if (event.key === "Enter" && !event.isComposing) form.requestSubmit();
    else return;
    event.preventDefault();
  });
  node.querySelector(".text").replaceWith(form);
  fit();
  area.focus();
}
