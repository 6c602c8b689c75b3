// The player of a recording, which tells where it is.

export class Player {
  /** `heard(seconds)` is called while it plays. */
  constructor(audio, heard) {
    this.audio = audio;
    const follow = () => {
      heard(audio.currentTime);
      if (!audio.paused) requestAnimationFrame(follow);
    };
    audio.addEventListener("play", follow);
    audio.addEventListener("seeked", () => heard(audio.currentTime));
  }

  load(address) {
    if (this.audio.getAttribute("src") !== address) this.audio.src = address;
  }

  unload() {
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
  }

  async play(seconds) {
    this.audio.currentTime = seconds;
    try {
      await this.audio.play();
    } catch (error) {
      if (error.name !== "AbortError") throw new Error("The browser can't play this file.");
    }
  }
}
