// One job: how far it is, its files, and the transcript of one of them.
import * as api from "./api.js";
import { Cluster } from "./cluster.js";
import { action, complain, el, reconcile, say, setText } from "./dom.js";
import { FLAGS, Tour } from "./doubts.js";
import { closeOutside, fillDownloads } from "./downloads.js";
import { editSegment } from "./editor.js";
import { Player } from "./player.js";
import { actions, isActive, nameOf, progressOf, stateOf } from "./state.js";
import { count, day } from "./text.js";
import { Transcript } from "./transcript.js";

export class JobView {
  constructor(settings) {
    this.settings = settings;
    this.node = document.getElementById("job");
    const find = (selector) => this.node.querySelector(selector);
    this.transcript = new Transcript(find(".transcript"), {
      play: action((seconds) => this.player.play(seconds)),
      edit: (item, node) => this.edit(item, node),
    });
    this.tour = new Tour(find(".tour"), find(".transcript"));
    this.player = new Player(find("audio"), (seconds) => this.transcript.mark(seconds));
    find("audio").addEventListener("error", () => { find(".silent").hidden = !find("audio").hasAttribute("src"); });
    for (const [name, { work }] of Object.entries(actions)) {
      find(`.${name}`).addEventListener("click", action(() => this.act(name, work)));
    }
    document.addEventListener("keydown", (event) => this.key(event));
    this.cluster = new Cluster(this.node, settings.slurm, () => this.open(this.id, this.number));
    closeOutside(find(".downloads"));
  }

  async show(chosen) {
    const [id, number] = [chosen.get("job"), Number(chosen.get("file") ?? 1)];
    if (id !== this.id) await this.open(id, number);
    else if (!this.job) this.number = number;
    else if (number !== this.number) this.showFile(number);
  }

  hide() {
    this.stop?.();
    this.stop = this.id = null;
    this.cluster.hide();
    this.player.unload();
  }

  async open(id, number) {
    this.stop?.();
    Object.assign(this, { id, number, stop: null, job: null, heard: new Map() });
    this.node.classList.add("empty");
    this.transcript.clear();
    this.tour.reset();
    try {
      const job = await api.job(id);
      if (this.id !== id) return;
      this.node.classList.remove("empty");
      this.showJob(job);
      this.showFile(this.number);
      if (isActive(job)) this.watch();
    } catch (error) {
      this.id = null;
      complain(error);
    }
  }

  /** Every connection begins with the job and all its segments so far. */
  watch() {
    this.stop = api.watch(this.id, {
      job: (job) => this.follow(job),
      progress: (progress) => this.showProgress(progress),
      segments: (part) => this.add(part),
      end: (job) => {
        this.follow(job);
        this.note();
        say(`${nameOf(job)}: ${stateOf(job)}`);
      },
    }, complain);
  }

  /** The open file may have ended, so that its whole transcript can be had. */
  follow(job) {
    const before = this.file()?.state;
    this.showJob(job);
    if (this.file()?.state !== before) this.showFile(this.number);
  }

  showJob(job) {
    const find = (selector) => this.node.querySelector(selector);
    this.job = job;
    setText(find("h1"), nameOf(job));
    document.title = `${nameOf(job)} – speechkit`;
    setText(find(".facts"), [stateOf(job), job.model, job.language, day(job.created)].filter(Boolean).join(" · "));
    for (const [name, { fits }] of Object.entries(actions)) find(`.${name}`).hidden = !fits(job);
    find(".failure").hidden = !job.error;
    setText(find(".failure"), job.error ?? "");
    this.cluster.show(job);
    this.showProgress(job);
    this.showFiles(job.files);
    fillDownloads(find(".downloads"), job, this.number, this.settings.formats);
  }

  showProgress(progress) {
    const place = this.node.querySelector(".running");
    place.hidden = this.job.state !== "running";
    if (place.hidden) return;
    Object.assign(this.job, { seconds: progress.seconds, seconds_done: progress.seconds_done });
    const bar = place.querySelector("progress");
    if (progress.seconds) {
      bar.max = progress.seconds;
      bar.value = progress.seconds_done;
    } else bar.removeAttribute("value");
    setText(place.querySelector("#job-progress"), progressOf(this.job));
  }

  file() {
    return this.job.files[this.number - 1];
  }

  showFiles(files) {
    const place = this.node.querySelector(".files");
    place.hidden = files.length < 2;
    const states = { waiting: "", done: "", failed: " (failed)" };
    const link = ({ number }) => el("li", {}, el("a", { href: `#${new URLSearchParams({ job: this.id, file: number })}` }));
    reconcile(place.firstElementChild, files, ({ number }) => number, link, (item, file) => {
      const place = item.firstElementChild;
      setText(place, file.name + states[file.state]);
      place.classList.toggle("waiting", file.state === "waiting");
      if (file.number === this.number) place.setAttribute("aria-current", "true");
      else place.removeAttribute("aria-current");
    });
  }

  async showFile(number) {
    const isOther = number !== this.number;
    this.number = number;
    const file = this.file();
    if (!file) {
      complain(new Error(`This job has ${count(this.job.files.length, "file")}; there is no file ${number}.`));
      return;
    }
    if (isOther) {
      this.transcript.clear();
      this.tour.reset();
    }
    this.showFiles(this.job.files);
    fillDownloads(this.node.querySelector(".downloads"), this.job, number, this.settings.formats);
    this.player.load(api.audioAddress(this.id, number));
    this.node.querySelector(".silent").hidden = true;
    this.note();
    if (file.state === "done") await this.loadTranscript(number);
    else this.showHeard();
  }

  note() {
    const { state, error } = this.file();
    const waiting = isActive(this.job) ? "The transcript appears here while the recording is transcribed." : "There is no transcript of this file.";
    this.tell(error ?? (state === "waiting" && !this.heard.get(this.number)?.length ? waiting : ""));
  }

  tell(sentence) {
    const place = this.node.querySelector(".state");
    place.hidden = !sentence;
    setText(place, sentence);
  }

  /** Segments come in any order, and those that are known come again with a new connection. */
  add({ file, segments }) {
    const all = new Map((this.heard.get(file) ?? []).map((one) => [`${one.start} ${one.text}`, one]));
    for (const one of segments) all.set(`${one.start} ${one.text}`, one);
    this.heard.set(file, [...all.values()].sort((a, b) => a.start - b.start));
    if (file === this.number && this.file()?.state === "waiting") this.showHeard();
  }

  showHeard() {
    const heard = this.heard.get(this.number) ?? [];
    this.transcript.list.classList.remove("editable");
    if (heard.length) this.transcript.show(heard);
    this.tour.refresh();
    this.note();
  }

  async loadTranscript(number) {
    const { id } = this;
    try {
      const record = await api.transcript(id, number);
      if (id !== this.id || number !== this.number) return;
      this.corrections = new Map(record.corrections.map(({ segment, text }) => [segment, text]));
      this.record = record;
      this.showRecord();
    } catch (error) {
      complain(error);
    }
  }

  showRecord() {
    const { segments, gaps = [], flags = [], lang } = this.record;
    const items = [
      ...segments.map((segment, number) => ({ lang, ...segment, number, correction: this.corrections.get(number) })),
      ...gaps.map((gap) => ({ ...gap, isGap: true })),
    ];
    this.transcript.list.classList.add("editable");
    this.transcript.show(items.sort((a, b) => a.start - b.start));
    this.tour.refresh();
    const ofSegments = new Set(segments.flatMap((segment) => segment.flags ?? []));
    const remarks = flags.filter((flag) => FLAGS[flag] && !ofSegments.has(flag)).map((flag) => FLAGS[flag]);
    this.tell(items.length ? remarks.join(" ") : "No speech was found in this file.");
  }

  edit(item, node) {
    const { id, number } = this;
    editSegment(node, item, {
      save: async (text) => {
        const next = new Map(this.corrections);
        if (text === null) next.delete(item.number);
        else next.set(item.number, text);
        await api.saveCorrections(id, number, [...next].map(([segment, text]) => ({ segment, text })));
        this.corrections = next;
      },
      close: () => {
        this.transcript.render(node, { ...item, correction: this.corrections.get(item.number) });
        this.transcript.collectWords();
        this.transcript.focusWord(node);
        this.tour.refresh();
      },
    });
  }

  async act(name, work) {
    const { id } = this;
    await work(id);
    if (name === "delete") {
      say("Deleted.");
      location.hash = "";
    } else await this.open(id, this.number);
    if (document.activeElement === document.body) this.node.querySelector("h1").focus();
  }

  key(event) {
    if (this.node.hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select")) return;
    if (event.target !== document.body && !this.node.contains(event.target)) return;
    if (event.key === "n") this.tour.go(1);
    else if (event.key === "p") this.tour.go(-1);
    else return;
    event.preventDefault();
  }
}
