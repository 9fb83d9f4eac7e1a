// Sound as numbers: what the session sends and hears is int16 at RATE_HZ, in base64.
const RATE_HZ = 24000;

const to_base64 = (samples) => {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
};
const from_base64 = (text) => {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Int16Array(bytes.buffer, 0, bytes.length >> 1);
};
const joined = (pieces) => {
  const whole = new Int16Array(pieces.reduce((n, piece) => n + piece.length, 0));
  let at = 0;
  for (const piece of pieces) { whole.set(piece, at); at += piece.length; }
  return whole;
};
const wav = (samples) => {
  const head = new DataView(new ArrayBuffer(44));
  const text = (at, word) => [...word].forEach((letter, i) => head.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF"); head.setUint32(4, 36 + samples.byteLength, true); text(8, "WAVEfmt ");
  head.setUint32(16, 16, true); head.setUint16(20, 1, true); head.setUint16(22, 1, true);
  head.setUint32(24, RATE_HZ, true); head.setUint32(28, 2 * RATE_HZ, true);
  head.setUint16(32, 2, true); head.setUint16(34, 16, true);
  text(36, "data"); head.setUint32(40, samples.byteLength, true);
  return new Blob([head, samples], { type: "audio/wav" });
};

// One AudioContext for microphone and speaker. Made in a click, because browsers start sound only then.
class SoundCard {
  async open() {
    if (!this.context || this.context.state === "closed") {
      this.context = new AudioContext({ sampleRate: RATE_HZ, latencyHint: "interactive" });
      this.ready = add_worklets(this.context);
    }
    this.context.resume();
    await this.ready;
    return this.context;
  }

  // When what the context plays at `at_s` (its own clock) leaves the speaker, on the page's clock.
  heard_at_ms(at_s) {
    const { contextTime, performanceTime } = this.context.getOutputTimestamp?.() ?? {};
    if (performanceTime > 0) return performanceTime + (at_s - contextTime) * 1000;
    return performance.now() + (at_s - this.context.currentTime + (this.context.outputLatency || 0)) * 1000;
  }
}
const add_worklets = async (context) => {
  const address = URL.createObjectURL(new Blob([props.worklets], { type: "text/javascript" }));
  await context.audioWorklet.addModule(address);
  URL.revokeObjectURL(address);
};
