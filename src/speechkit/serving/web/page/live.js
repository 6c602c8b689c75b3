// The microphone, transcribed while somebody speaks.
import * as api from "./api.js";
import { chosenOptions, offerLanguages, offerModels } from "./choices.js";
import { complain, el, setText } from "./dom.js";
import { openMicrophone } from "./microphone.js";
import { clock } from "./text.js";

const PARAGRAPH = 2; // seconds of silence that end a paragraph
const BEHIND = 30; // seconds of audio that the server hasn't taken yet, after which that is said

export class LiveView {
  constructor(settings, models) {
    this.node = document.getElementById("live");
    this.form = this.node.querySelector("form");
    this.button = this.form.querySelector("button.main");
    offerModels(this.form.elements.model, models, settings);
    offerLanguages(this.form.elements.language, settings);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.button.getAttribute("aria-disabled")) return;
      if (this.microphone) this.stop();
      else if (!this.socket) this.start();
    });
    this.node.querySelector(".clear").addEventListener("click", () => {
      this.node.querySelector(".finals").replaceChildren();
      this.showKept();
      this.button.focus();
    });
    this.node.querySelector(".save").addEventListener("click", () => this.save());
    addEventListener("beforeunload", (event) => {
      if (this.microphone) event.preventDefault();
    });
  }

  show() {}

  hide() {}

  async start() {
    complain(null);
    Object.assign(this, { sent: 0, isEnded: false, lastEnd: null });
    this.status("Waiting for the microphone");
    this.button.setAttribute("aria-disabled", "true");
    try {
      this.microphone = await openMicrophone((pcm, peak) => this.send(pcm, peak), () => this.stop("The microphone is gone."));
      this.connect(this.microphone.rate);
      this.button.textContent = "Stop";
      this.form.querySelector("meter").hidden = false;
      this.status("The model is being loaded; you can speak already");
    } catch (error) {
      this.status("");
      complain(error);
    } finally {
      this.button.removeAttribute("aria-disabled");
    }
  }

  connect(rate) {
    const socket = api.liveSocket(rate, chosenOptions(this.form));
    socket.addEventListener("message", ({ data }) => this.hear(JSON.parse(data)));
    socket.addEventListener("close", () => this.ended());
    this.socket = socket;
    this.waiting = [];
    socket.addEventListener("open", () => {
      for (const pcm of this.waiting) socket.send(pcm);
      this.waiting = [];
    });
  }

  send(pcm, peak) {
    this.form.querySelector("meter").value = peak;
    if (!this.socket) return;
    this.sent += pcm.byteLength;
    if (this.socket.readyState === WebSocket.CONNECTING) this.waiting.push(pcm);
    else this.socket.send(pcm);
    const bytesPerSecond = 2 * this.microphone.rate;
    setText(this.form.querySelector(".clock"), clock(this.sent / bytesPerSecond));
    if (this.socket.bufferedAmount > BEHIND * bytesPerSecond) this.status("The server is slower than you speak; the text comes later");
  }

  /** The microphone goes off; what was said is still transcribed. */
  stop(sentence) {
    if (sentence) complain(new Error(sentence));
    this.microphone?.close();
    this.microphone = null;
    this.form.querySelector("meter").hidden = true;
    this.button.textContent = "Start";
    if (this.socket?.readyState === WebSocket.OPEN) {
      this.socket.send("end");
      this.status("The last words are being transcribed");
    }
  }

  hear(event) {
    if (this.microphone) this.status("Listening");
    const partial = this.node.querySelector(".partial");
    if (event.type === "partial") setText(partial, event.text);
    else partial.textContent = "";
    if (event.type === "final") this.addFinal(event);
    if (event.type === "gap" && event.reason === "no_words") this.addGap(event);
    if (event.type === "error") this.fail(event.message);
    if (event.type === "end") this.isEnded = true;
    if (event.type === "end" && event.error) complain(new Error(event.error));
  }

  addFinal({ start, end, text, words }) {
    const finals = this.node.querySelector(".finals");
    const isNew = this.lastEnd === null || start - this.lastEnd >= PARAGRAPH;
    let place = finals.lastElementChild;
    if (!place || isNew || place.className) {
      place = el("p", { dir: "auto" });
      finals.append(place);
    }
    const space = !place.textContent || words[0]?.spaced === false ? "" : " ";
    place.append(el("span", {}, space + text));
    this.lastEnd = end;
    this.showKept();
  }

  addGap({ start, end }) {
    const sentence = `Speech without words, ${(end - start).toFixed(1)} seconds`;
    this.node.querySelector(".finals").append(el("p", { class: "gap" }, sentence));
  }

  fail(sentence) {
    this.isEnded = true;
    if (this.sent) complain(new Error(sentence));
  }

  ended() {
    if (!this.isEnded) complain(new Error("The connection to the server has ended. What was said until then is kept here."));
    this.socket = null;
    this.stop();
    this.node.querySelector(".partial").textContent = "";
    this.status("");
  }

  status(text) {
    setText(this.form.querySelector(".status"), text);
  }

  text() {
    return [...this.node.querySelectorAll(".finals p:not(.gap)")].map((place) => place.textContent).join("\n\n");
  }

  showKept() {
    this.node.querySelector(".kept").hidden = !this.text();
  }

  save() {
    const link = this.node.querySelector(".save");
    URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(new Blob([this.text(), "\n"], { type: "text/plain" }));
  }
}
