// The microphone as PCM: 16 bits, little-endian, mono.

const RATE = 16_000; // Hz
const REASONS = {
  NotAllowedError: "The microphone was denied. Allow it for this page in the browser, and start again.",
  NotFoundError: "No microphone was found.",
  NotReadableError: "The microphone can't be opened; another program may be using it.",
};

/**
 * `take(pcm, peak)` gets buffers of a tenth of a second, with their highest sample in 0..1; `gone()`
 * is called when the microphone vanishes. Returns its `rate` in Hz, and `close()`.
 */
export async function openMicrophone(take, gone) {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give a microphone only to pages that come by HTTPS, or from this computer.");
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
  } catch (error) {
    throw new Error(REASONS[error.name] ?? `The microphone can't be opened: ${error.message}`);
  }
  const [context, source] = contextOf(stream);
  await context.audioWorklet.addModule("/page/pcm-worklet.js");
  const worklet = new AudioWorkletNode(context, "pcm", { numberOfOutputs: 0 });
  worklet.port.onmessage = ({ data: { pcm, peak } }) => take(pcm, peak);
  source.connect(worklet);
  await context.resume();
  const [track] = stream.getTracks();
  track.addEventListener("ended", gone);
  return {
    rate: context.sampleRate,
    close() {
      track.stop();
      context.close();
    },
  };
}

/** Of 16 kHz where the browser converts the microphone's rate, which not every one does. */
function contextOf(stream) {
  const context = new AudioContext({ sampleRate: RATE });
  try {
    return [context, context.createMediaStreamSource(stream)];
  } catch {
    context.close();
    const other = new AudioContext();
    return [other, other.createMediaStreamSource(stream)];
  }
}
