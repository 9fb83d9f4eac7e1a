// Press to talk: hold (mouse, finger, Space) or tap to begin and tap to end. Gradio runs this once the button is in
// the page. Triggers "press" when the user wants to talk and "recorded" with {audio, rate_hz} when a clip is complete.
// The page's other parts hear the same as events of the document: raydio-press, raydio-release.
const root = element.querySelector(".ray-mic");
const button = root.querySelector("button");
const clock = root.querySelector(".ray-mic-clock");
const hint = root.querySelector(".ray-mic-hint");

const WANTED_HZ = 16000;
const TAP_MS = 300; // a shorter press is a tap, and the next tap ends the recording
const TAIL_MS = 80; // sound that was spoken before the release is still on its way through the sound card
const FULL_SCALE = 0.2; // loudness of close, loud speech: the level meter's end

const has_keys = window.matchMedia("(pointer: fine)").matches;
const HINTS = {
  idle: `Hold to talk, or tap to start and tap to send.${has_keys ? " The space bar works too." : ""}`,
  opening: "Opening the microphone…",
  held: "Listening. Let go to send.",
  tapped: "Listening. Tap again to send, Escape to discard.",
  ready: "The microphone is ready. Hold and talk.",
  short: "That was too short. Hold the button while you talk.",
  long: `That is the longest I can listen to at once (${props.max_s} seconds), so I sent it.`,
  insecure: "The browser gives the microphone only to secure pages: open this one through https or as localhost.",
  denied: "The browser does not allow the microphone here. Allow it in the site settings beside the address, then press again.",
  missing: "No microphone was found. Connect one and press again, or type below.",
  busy: "The microphone could not be opened. Another program may be using it: close that and press again.",
};
const REASONS = {
  NotAllowedError: "denied", SecurityError: "denied", NotFoundError: "missing", OverconstrainedError: "missing",
};

let recording = null; // what is under way: {mode, stream, context, pieces, …}

// ---- what the user sees ---------------------------------------------------------------------------
const show = (state, words) => {
  root.dataset.state = state;
  root.dataset.hint = words;
  hint.textContent = HINTS[words];
  button.setAttribute("aria-pressed", String(state === "recording"));
  button.setAttribute("aria-label", state === "recording" ? "Send what I said" : "Talk");
  if (state !== "recording") { clock.textContent = ""; root.style.setProperty("--level", 0); }
};
const refuse = (reason) => show("refused", reason);

// ---- the microphone -------------------------------------------------------------------------------
const listen = async (stream) => {
  // Firefox cannot connect a microphone to a context of another rate; the server resamples then.
  for (const options of [{ sampleRate: WANTED_HZ }, {}]) {
    const context = new AudioContext(options);
    try {
      return { context, source: context.createMediaStreamSource(stream) };
    } catch (error) {
      await context.close();
      if (error.name !== "NotSupportedError" || !options.sampleRate) throw error;
    }
  }
};
const open = async (take) => {
  take.stream = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
  });
  const { context, source } = await listen(take.stream);
  take.context = context;
  const address = URL.createObjectURL(new Blob([props.worklet], { type: "text/javascript" }));
  await context.audioWorklet.addModule(address);
  URL.revokeObjectURL(address);
  const node = new AudioWorkletNode(context, "raydio-microphone", { channelCount: 1, channelCountMode: "explicit" });
  node.port.onmessage = ({ data }) => hear(take, data);
  source.connect(node).connect(context.destination); // an unconnected node is not run; it puts out silence
  await context.resume();
};
const hear = (take, { samples, level }) => {
  if (take.closed) return;
  take.pieces.push(samples);
  take.n_samples += samples.length;
  const seconds = take.n_samples / take.context.sampleRate;
  clock.textContent = `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  root.style.setProperty("--level", Math.min(1, level / FULL_SCALE).toFixed(3));
  if (seconds >= props.max_s) finish("long");
};
const close = (take) => {
  take.closed = true;
  take.stream?.getTracks().forEach((track) => track.stop());
  if (take.context && take.context.state !== "closed") take.context.close();
};

// ---- from press to release ------------------------------------------------------------------------
const start = async (mode) => {
  if (recording) return;
  document.dispatchEvent(new CustomEvent("raydio-press"));
  trigger("press");
  if (!window.isSecureContext || !navigator.mediaDevices) { refuse("insecure"); return; }
  const take = { mode, pieces: [], n_samples: 0, closed: false, released: false };
  recording = take;
  show("opening", "opening");
  try {
    await open(take);
  } catch (error) {
    close(take);
    if (recording === take) { recording = null; refuse(REASONS[error.name] ?? "busy"); }
    return;
  }
  // Let go while the browser was asking for permission: nothing was said yet.
  if (take.released || recording !== take) { discard(take, "ready"); return; }
  document.dispatchEvent(new CustomEvent("raydio-stop")); // sound that was on its way when the button was pressed
  show("recording", take.mode);
};
const discard = (take, words) => {
  close(take);
  if (recording === take) recording = null;
  if (!recording) show("idle", words);
};
const finish = async (words) => {
  const take = recording;
  if (!take || take.closed || take.finishing) return;
  if (root.dataset.state !== "recording") { take.released = true; return; }
  take.finishing = true;
  document.dispatchEvent(new CustomEvent("raydio-release", { detail: { at_ms: performance.now() } }));
  await new Promise((later) => setTimeout(later, TAIL_MS));
  if (take.closed) return;
  const rate_hz = take.context.sampleRate;
  close(take);
  recording = null;
  if (take.n_samples / rate_hz < props.min_s) { refuse("short"); return; }
  show("idle", words);
  trigger("recorded", { audio: base64(pcm(take)), rate_hz });
};

// ---- samples to text ------------------------------------------------------------------------------
const pcm = (take) => {
  const whole = new Int16Array(take.n_samples);
  let at = 0;
  for (const piece of take.pieces) {
    for (const sample of piece) whole[at++] = Math.max(-1, Math.min(1, sample)) * 32767;
  }
  return new Uint8Array(whole.buffer);
};
const base64 = (bytes) => {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
};

// ---- hands ----------------------------------------------------------------------------------------
let pressed_ms = 0;
const down = () => {
  if (recording) { finish("idle"); return; }
  pressed_ms = performance.now();
  start("held");
};
const up = () => {
  if (!recording || !pressed_ms) return;
  const tapped = performance.now() - pressed_ms < TAP_MS;
  pressed_ms = 0;
  if (!tapped) { finish("idle"); return; }
  recording.mode = "tapped";
  if (root.dataset.state === "recording") show("recording", "tapped");
};
button.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  button.setPointerCapture(event.pointerId);
  down();
});
button.addEventListener("pointerup", up);
button.addEventListener("pointercancel", up);
button.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch
// A click without a pointer: Enter, or a screen reader.
button.addEventListener("click", (event) => {
  if (event.detail !== 0) return;
  if (recording) finish("idle"); else start("tapped");
});
const talks = (event) => event.code === "Space" && [document.body, button].includes(document.activeElement ?? document.body);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && recording) { discard(recording, "idle"); return; }
  if (!talks(event) || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  if (!event.repeat) down();
});
document.addEventListener("keyup", (event) => {
  if (!talks(event)) return;
  event.preventDefault();
  up();
});
window.addEventListener("pagehide", () => recording && discard(recording, "idle"));
show("idle", "idle");
