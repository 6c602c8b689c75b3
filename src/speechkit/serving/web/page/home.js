// The form for new recordings, and the list of all jobs.
import * as api from "./api.js";
import { chosenOptions, isAway, offerLanguages, offerModels } from "./choices.js";
import { action, complain, el, reconcile, say, setText } from "./dom.js";
import { actions, hasDoubts, isActive, nameOf, progressOf, stateOf } from "./state.js";
import { bytes, count, day, percent } from "./text.js";

const SOON = 1500, LATER = 10_000; // milliseconds until the list is asked for again

export class HomeView {
  constructor(settings, models) {
    this.settings = settings;
    this.files = [];
    this.node = document.getElementById("home");
    this.form = this.node.querySelector("form");
    this.list = document.getElementById("jobs");
    offerLanguages(this.form.elements.language, settings);
    this.offer(models);
    this.listen();
    this.showFiles();
    const hours = Math.round(settings.keep / 3600);
    setText(this.node.querySelector(".keep"), `A transcript is removed ${count(hours, "hour")} after its last change.`);
  }

  offer(models) {
    this.models = models;
    offerModels(this.form.elements.model, models, this.settings);
    this.noteModel();
  }

  listen() {
    const { form } = this;
    form.elements.model.addEventListener("change", () => this.noteModel());
    form.elements.file.addEventListener("change", () => {
      this.add(form.elements.file.files);
      form.elements.file.value = "";
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    form.querySelector(".stop").addEventListener("click", () => this.sending?.abort());
    const drop = this.node.querySelector(".drop");
    const over = (is) => drop.classList.toggle("over", is && !this.node.hidden);
    addEventListener("dragover", (event) => {
      event.preventDefault();
      over(true);
    });
    addEventListener("dragleave", (event) => over(event.relatedTarget !== null));
    addEventListener("drop", (event) => {
      event.preventDefault();
      over(false);
      if (!this.node.hidden) this.drop(event.dataTransfer);
    });
    addEventListener("beforeunload", (event) => {
      if (this.sending) event.preventDefault();
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && !this.node.hidden) this.refresh();
    });
  }

  /** The states of the models may have changed since. */
  show() {
    this.refresh();
    api.models().then((models) => this.offer(models), complain);
  }

  hide() {
    clearTimeout(this.timer);
  }

  noteModel() {
    const model = this.models.find(({ id }) => id === this.form.elements.model.value);
    setText(
      this.node.querySelector("#model-note"),
      model && isAway(model) ? `${bytes(model.bytes)} are fetched from the Hugging Face hub before the first use.` : "",
    );
  }

  add(files) {
    this.files.push(...files);
    this.showFiles();
    complain(null);
    if (files.length) say(`${count(this.files.length, "file")} chosen`);
  }

  drop({ items, files }) {
    const isFolder = [...items].map((item) => item.webkitGetAsEntry?.()?.isDirectory ?? false);
    this.add([...files].filter((_, at) => !isFolder[at]));
    if (isFolder.some(Boolean)) complain(new Error("A folder can't be dropped here, but the files in it can."));
  }

  showFiles() {
    const list = this.form.querySelector(".chosen");
    list.replaceChildren(
      ...this.files.map((file) => {
        const drop = () => {
          this.files = this.files.filter((other) => other !== file);
          this.showFiles();
          this.form.elements.file.focus();
        };
        const remove = el("button", { type: "button", class: "plain", "aria-label": `Leave out ${file.name}`, onclick: drop }, "×");
        return el("li", {}, el("span", { class: "name" }, file.name), " ", el("span", { class: "note" }, bytes(file.size)), remove);
      }),
    );
    const total = this.files.reduce((sum, file) => sum + file.size, 0);
    if (total > this.settings.max_upload) {
      complain(new Error(`These files have ${bytes(total)}; the server takes ${bytes(this.settings.max_upload)} at once.`));
    }
    this.form.querySelector("button.main").disabled = !this.files.length || Boolean(this.sending);
  }

  async send() {
    const data = new FormData();
    for (const [name, value] of Object.entries(chosenOptions(this.form))) data.append(name, value);
    const { prompt, translate } = this.form.elements;
    if (prompt.value.trim()) data.append("prompt", prompt.value.trim());
    if (translate.checked) data.append("translate", "true");
    for (const file of this.files) data.append("file", file, file.name);
    this.sending = new AbortController();
    this.showSending(0, this.files.reduce((sum, file) => sum + file.size, 0));
    complain(null);
    try {
      const job = await api.upload(data, (sent, all) => this.showSending(sent, all), this.sending.signal);
      this.files = [];
      location.hash = new URLSearchParams({ job: job.id });
    } catch (error) {
      if (error.name === "AbortError") say("Sending was stopped.");
      else complain(error);
    } finally {
      this.sending = null;
      this.form.querySelector(".sending").hidden = true;
      this.showFiles();
    }
  }

  showSending(sent, all) {
    const place = this.form.querySelector(".sending");
    place.hidden = false;
    this.form.querySelector("button.main").disabled = true;
    const bar = place.querySelector("progress");
    bar.max = all || 1;
    bar.value = sent;
    const text = sent < all ? `Sending: ${bytes(sent)} of ${bytes(all)} (${percent(sent / all)})` : "Sent; the server is storing it";
    setText(place.querySelector("#sent"), text);
  }

  /** Asks for the list, and again as long as it is shown. */
  async refresh() {
    clearTimeout(this.timer);
    let wait = LATER;
    try {
      const jobs = await api.jobs();
      if (this.isAway) complain(null);
      this.isAway = false;
      this.showJobs(jobs);
      if (jobs.some(isActive)) wait = SOON;
    } catch (error) {
      this.isAway = true;
      complain(error);
    }
    clearTimeout(this.timer);
    if (!this.node.hidden && !document.hidden) this.timer = setTimeout(() => this.refresh(), wait);
  }

  showJobs(jobs) {
    const newest = [...jobs].sort((a, b) => b.created.localeCompare(a.created));
    const made = (job) => this.row(job);
    reconcile(this.list, newest, (job) => job.id, made, (row, job) => this.showJob(row, job));
    this.node.querySelector(".none").hidden = jobs.length > 0;
  }

  row({ id }) {
    const does = (work) => action(async () => {
      await work(id);
      await this.refresh();
      if (!this.list.contains(document.activeElement)) this.node.querySelector("h1").focus();
    });
    const button = (name) => el("button", { type: "button", class: `quiet ${name}`, onclick: does(actions[name].work) }, actions[name].label);
    return el("li", {},
      el("a", { class: "name", href: `#${new URLSearchParams({ job: id })}` }),
      el("span", { class: "state" }),
      el("span", { class: "facts note" }),
      el("span", { class: "buttons" }, ...Object.keys(actions).map(button)),
      el("progress", { "aria-hidden": "true" }),
    );
  }

  showJob(row, job) {
    const name = nameOf(job);
    const before = row.querySelector(".state").dataset.state;
    const state = row.querySelector(".state");
    setText(row.querySelector(".name"), name);
    setText(state, job.state === "running" ? `${stateOf(job)}: ${progressOf(job)}` : stateOf(job));
    state.dataset.state = job.state;
    if (before && before !== job.state) say(`${name}: ${stateOf(job)}`);
    const facts = [job.model, job.origin === "api" && "by the API", day(job.created), hasDoubts(job) && "with doubts"];
    setText(row.querySelector(".facts"), facts.filter(Boolean).join(" · "));
    for (const [key, { fits, label }] of Object.entries(actions)) {
      const button = row.querySelector(`.${key}`);
      button.hidden = !fits(job);
      button.setAttribute("aria-label", `${label}: ${name}`);
    }
    const bar = row.querySelector("progress");
    bar.hidden = job.state !== "running";
    if (job.seconds) {
      bar.max = job.seconds;
      bar.value = job.seconds_done;
    } else bar.removeAttribute("value");
  }
}
