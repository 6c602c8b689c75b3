// Runs in the browser's audio thread: blocks of floats to PCM of 16 bits.

const SECONDS = 0.1;

class Pcm extends AudioWorkletProcessor {
  constructor() {
    super();
    this.begin();
  }

  begin() {
    this.pcm = new DataView(new ArrayBuffer(2 * Math.round(SECONDS * sampleRate)));
    this.filled = 0;
    this.peak = 0;
  }

  process([[channel]]) {
    for (const sample of channel ?? []) {
      const value = Math.max(-1, Math.min(sample, 1));
      this.pcm.setInt16(this.filled, Math.round(value * 0x7fff), true);
      this.filled += 2;
      this.peak = Math.max(this.peak, Math.abs(value));
      if (this.filled === this.pcm.byteLength) {
        const { buffer } = this.pcm;
        this.port.postMessage({ pcm: buffer, peak: this.peak }, [buffer]);
        this.begin();
      }
    }
    return true;
  }
}

registerProcessor("pcm", Pcm);
