// What the user does: microphone, keys, box, downloads.
const refuse = (problem) => {
  ui.problem = problem;
  if (problem) log.say_aloud(REFUSALS[problem]);
  show();
};
const connect = async () => {
  await speaker.open();
  if (session.phase !== "closed") return;
  Object.assign(ui, { problem: "", reason: "" });
  session.open();
  requestAnimationFrame(draw);
};
const start = async () => {
  if (ui.opening) return;
  Object.assign(ui, { opening: true, problem: "", reason: "", muted: false });
  show();
  sound_card.open(); // in the click itself: later the browser would not let it sound
  const problem = await microphone.open(settings.microphone);
  ui.opening = false;
  refuse(problem);
  if (problem) return;
  settings.list_microphones();
  await connect();
};
const end = async () => {
  microphone.close();
  ui.replaying?.source.stop();
  stop_example();
  Object.assign(ui, { muted: false, held_since_ms: null, level: 0 });
  session.hush("stopped");
  session.close();
  show();
};
const mute = (muted) => {
  Object.assign(ui, { muted, muted_at_ms: performance.now() });
  microphone.mute(muted);
  show();
};
const press_microphone = () => {
  if (session.phase === "closed" || !microphone.is_open) start();
  else mute(!ui.muted);
};

// ---- hold to talk ---------------------------------------------------------------------------------
const hold = () => {
  if (session.phase === "closed" || !microphone.is_open) { start(); return; }
  stop_example();
  ui.held_since_ms = performance.now();
  microphone.mute(false);
  session.hold();
};
const release = async ({ answer = true } = {}) => {
  if (ui.held_since_ms === null) return false;
  const long_enough = performance.now() - ui.held_since_ms >= SHORT_MS;
  if (answer && long_enough) await new Promise((later) => setTimeout(later, TAIL_MS));
  if (ui.held_since_ms === null) return long_enough; // thought better of it meanwhile
  ui.held_since_ms = null;
  session.release({ answer: answer && long_enough });
  microphone.mute(ui.muted);
  ui.muted_at_ms = performance.now();
  show();
  return long_enough;
};
const BUSY_WITH_KEYS = "input, textarea, select, summary, a, button, [contenteditable]";
const talks = ({ code, target, ctrlKey, altKey, metaKey }) =>
  code === "Space" && !(ctrlKey || altKey || metaKey) && (target === $("mic") || !target.closest?.(BUSY_WITH_KEYS));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    if (ui.held_since_ms !== null) release({ answer: false });
    else if (!$("stop").hidden) session.hush("stopped");
    return;
  }
  if (!talks(event)) return;
  event.preventDefault();
  if (!event.repeat && ui.held_since_ms === null) hold();
});
document.addEventListener("keyup", async (event) => {
  if (!talks(event)) return;
  event.preventDefault();
  const was_open = ui.held_since_ms !== null;
  const long_enough = await release();
  if (was_open && !long_enough && event.target === $("mic")) mute(!ui.muted); // a tap of the key is a press of the button
});

window.addEventListener("blur", () => release()); // the key goes up where nobody sees it

// ---- an example, as if it were spoken ---------------------------------------------------------------
const play_example = async () => {
  if (ui.example) return;
  await connect();
  const samples = from_base64((await server.example()).pcm);
  const context = await sound_card.open();
  const buffer = context.createBuffer(1, samples.length, RATE_HZ);
  buffer.copyToChannel(Float32Array.from(samples, (sample) => sample / 32768), 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(context.destination);
  source.start();
  const length = Math.round((EXAMPLE_STEP_MS * RATE_HZ) / 1000), began_s = context.currentTime;
  let at = 0;
  const speak = () => {
    const due = (context.currentTime - began_s) * RATE_HZ;
    for (; at + length <= due; at += length) {
      const piece = new Int16Array(length);
      piece.set(samples.subarray(at, at + length));
      ui.level = at < samples.length ? Math.sqrt(piece.reduce((sum, x) => sum + (x / 32768) ** 2, 0) / length) : 0;
      session.uplink.hear(piece, ui.level);
    }
    const spoken_ms = ((at - samples.length) / RATE_HZ) * 1000;
    // Afterwards it is quiet until the turn has ended: a microphone that is off hears nothing more.
    if (spoken_ms > EXAMPLE_SILENCE_MS || (spoken_ms > 0 && (microphone.is_open || !session.uplink.turn_open && session.thinking))) stop_example();
  };
  ui.example = { source, timer: setInterval(speak, EXAMPLE_STEP_MS) };
};
const stop_example = () => {
  if (!ui.example) return;
  clearInterval(ui.example.timer);
  ui.example.source.stop();
  Object.assign(ui, { example: null, level: 0 });
};

// ---- buttons and the box --------------------------------------------------------------------------
const box = $("box").querySelector("textarea");
const send = async () => {
  const text = box.value.trim();
  if (!text) return;
  box.value = "";
  await connect();
  session.type(text);
};
const ACTS = {
  example: play_example,
  retry: async () => { await connect(); session.retry(); },
  clear: () => { session.clear(); stop_example(); box.focus(); },
};
$("mic").addEventListener("click", press_microphone);
$("stop").addEventListener("click", () => session.hush("stopped"));
$("end").addEventListener("click", end);
$("example").addEventListener("click", play_example);
$("box").addEventListener("submit", (event) => { event.preventDefault(); send(); });
box.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
$("take").addEventListener("click", ({ target: { dataset } }) => {
  if (dataset.save) save(dataset.save, [...log.entries.values()]);
  ACTS[dataset.act]?.();
});
window.addEventListener("pagehide", end);
settings.list().catch(() => {}); // the header says which model is down; the standard voice may come up later
show();
