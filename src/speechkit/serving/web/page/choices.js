// The choices of models and languages.
import { el } from "./dom.js";
import { bytes } from "./text.js";

const STATES = { loaded: "loaded", installed: "installed", cached: "downloaded", to_fetch: "to be fetched" };

export const isAway = ({ state }) => state === "to_fetch";

/** Fills a select with models: those that are here first. What was chosen stays. */
export function offerModels(select, models, settings) {
  const option = (model) => {
    const size = isAway(model) && model.bytes ? `, ${bytes(model.bytes)}` : "";
    return el("option", { value: model.id }, `${model.id} (${STATES[model.state]}${size})`);
  };
  const group = (label, ones) => (ones.length ? [el("optgroup", { label }, ...ones.map(option))] : []);
  const chosen = select.value || settings.model;
  select.replaceChildren(
    ...group("Ready", models.filter((model) => !isAway(model))),
    ...group("To be fetched first", models.filter(isAway)),
  );
  select.value = chosen;
  if (!select.value) select.selectedIndex = 0;
}

/** `languages`: names by codes. */
export function offerLanguages(select, { languages }) {
  const named = Object.entries(languages).map(([code, name]) => [name[0].toUpperCase() + name.slice(1), code]);
  named.sort(([a], [b]) => a.localeCompare(b));
  select.replaceChildren(
    el("option", { value: "" }, "Recognised by the model"),
    ...named.map(([name, code]) => el("option", { value: code }, name)),
  );
}

/** What a request says of the choices of a form. */
export function chosenOptions({ elements: { model, language } }) {
  return { model: model.value, ...(language.value && { language: language.value }) };
}
