// A job that is handed to the cluster, and how it is there.
import * as api from "./api.js";
import { action, setText } from "./dom.js";
import { isActive } from "./state.js";

const EVERY = 10_000; // milliseconds between two questions

export class Cluster {
  /** `isThere`: whether the server has one. `handedOver()` is called when it has taken a job. */
  constructor(view, isThere, handedOver) {
    this.isThere = isThere;
    this.button = view.querySelector(".cluster");
    this.status = view.querySelector(".cluster-status");
    this.button.addEventListener("click", action(async () => {
      await api.submitToCluster(this.job.id);
      await handedOver();
    }));
  }

  show(job) {
    const isOther = job.id !== this.job?.id;
    this.job = job;
    const runsThere = job.on_cluster && isActive(job);
    this.button.hidden = !this.isThere || job.on_cluster || !isActive(job) || job.files.length < 2;
    this.status.hidden = !runsThere;
    if (isOther) setText(this.status, "");
    clearTimeout(this.timer);
    if (runsThere) this.ask();
  }

  hide() {
    this.job = null;
    clearTimeout(this.timer);
  }

  async ask() {
    const { job } = this;
    try {
      const { text } = await api.clusterStatus(job.id);
      if (job === this.job) setText(this.status, text);
    } catch (error) {
      if (job === this.job) setText(this.status, error.message);
    }
    if (job === this.job) this.timer = setTimeout(() => this.ask(), EVERY);
  }
}
