// What the address names after # is shown: #job=ID&file=2, #live, or else the list of jobs.
import * as api from "./api.js";
import { complain } from "./dom.js";
import { HomeView } from "./home.js";
import { JobView } from "./job.js";
import { LiveView } from "./live.js";

const titles = { home: "speechkit", job: "speechkit", live: "Live – speechkit" };

async function start() {
  let settings, models;
  try {
    [settings, models] = await Promise.all([api.settings(), api.models()]);
  } catch (error) {
    complain(error);
    return;
  }
  const views = {
    home: new HomeView(settings, models),
    job: new JobView(settings),
    live: new LiveView(settings, models),
  };
  let shown = null;
  const show = () => {
    const chosen = new URLSearchParams(location.hash.slice(1));
    const name = chosen.has("job") ? "job" : chosen.has("live") ? "live" : "home";
    if (shown !== name) {
      if (shown) views[shown].hide();
      for (const view of Object.keys(views)) document.getElementById(view).hidden = view !== name;
      for (const link of document.querySelectorAll("[data-view]")) {
        if (link.dataset.view === name) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
      document.title = titles[name];
      if (shown) document.querySelector(`#${name} h1`).focus();
      complain(null);
      shown = name;
    }
    views[name].show(chosen);
  };
  addEventListener("hashchange", show);
  show();
}

start();
