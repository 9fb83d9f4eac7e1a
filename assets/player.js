// Plays speech while it is made. Gradio runs this once the player is in the page. The value
// {stream, rate_hz, pcm} starts it; the rest is asked for as it plays: server.more({stream, start}).
const AHEAD_S = 8; // sound scheduled before it is heard: hides a slow network, bounds memory
const LEAD_S = 0.02; // between the first sound's arrival and its start
const GUARD_S = 0.15; // silence after running dry, so that it does not happen again at once
const FADE_S = 0.008; // a stop without a click
const N_TRIES = 8;
const BAR_PX = 3; // of the picture of what was heard last, one bar a frame
const PATIENCE_MS = 1000; // a sound card takes this long to start on a crowded machine
const PLAY = "M4 2.5v11l9.5-5.5z", PAUSE = "M4 3h3v10H4zM9 3h3v10H9z";
const HINTS = { blocked: "Press play to hear it.", failed: "The sound stopped arriving. Ask again." };

const $ = (name) => element.querySelector(`.ray-player${name}`);
let context = null; // one AudioContext at the stream's own rate: its resampler then sees one signal, without seams
let output = null, meter = null;
let now_playing = null; // {id, rate_hz, asked_ms, until, n_samples, done, gone, sources}
const levels = [];
let asked_ms = performance.now(); // when the user last asked for something

const OVER = ["idle", "done", "failed"];

// ---- what the user sees --------------------------------------------------------------------------
const show = (state) => {
  const root = $("");
  const active = ["waiting", "playing", "paused", "blocked"].includes(state);
  const pausable = state === "playing" || state === "waiting";
  root.dataset.state = state;
  $("-play").disabled = !now_playing;
  $("-play").setAttribute("aria-label", pausable ? "Pause" : state === "done" ? "Play again" : "Play");
  $("-play path").setAttribute("d", pausable ? PAUSE : PLAY);
  $("-stop").disabled = !active;
  $("-hint").textContent = HINTS[state] ?? "";
};
const played_s = (playing) =>
  Math.max(0, playing.n_samples / context.sampleRate - Math.max(0, playing.until - context.currentTime));
const show_level = (loudness) => {
  levels.push(Math.min(1, loudness * 5));
  const canvas = $("-level"), pen = canvas.getContext("2d"), scale = devicePixelRatio;
  const [width, height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  levels.splice(0, levels.length - Math.ceil(width / (BAR_PX * scale)));
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = getComputedStyle(canvas).color;
  levels.forEach((level, i) => {
    const bar = Math.max(scale, level * height);
    pen.fillRect(width - (levels.length - i) * BAR_PX * scale, (height - bar) / 2, (BAR_PX - 1) * scale, bar);
  });
};
const draw = () => {
  if (!now_playing) return;
  const seconds = played_s(now_playing);
  if (seconds > 0 && now_playing.asked_ms) { // heard: say how long that took
    $("").dataset.firstAudioMs = Math.max(0, performance.now() - seconds * 1000 - now_playing.asked_ms).toFixed(1);
    now_playing.asked_ms = 0;
  }
  $("").dataset.playedS = seconds.toFixed(2);
  $("-time").textContent = `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  const wave = new Float32Array(meter.fftSize);
  meter.getFloatTimeDomainData(wave);
  const loudness = Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / wave.length);
  if ($("").dataset.state === "playing") show_level(loudness);
  if (!OVER.includes($("").dataset.state)) requestAnimationFrame(draw);
};

// ---- sound ---------------------------------------------------------------------------------------
const prepare = (rate_hz) => {
  if (context?.sampleRate === rate_hz) return;
  context?.close();
  context = new AudioContext({ sampleRate: rate_hz, latencyHint: "interactive" });
  output = context.createGain();
  meter = new AnalyserNode(context, { fftSize: 512 });
  output.connect(meter).connect(context.destination);
  context.onstatechange = () => {
    if (context.state === "running" && $("").dataset.state === "blocked") show("playing");
  };
};
const samples = (pcm) => {
  const bytes = Uint8Array.from(atob(pcm), (character) => character.charCodeAt(0));
  return Float32Array.from(new Int16Array(bytes.buffer), (sample) => sample / 32768);
};
const begin_at = (playing) => {
  if (playing.until > context.currentTime) return playing.until;
  if (!playing.n_samples) return context.currentTime + LEAD_S;
  $("").dataset.underruns = Number($("").dataset.underruns) + 1;
  return context.currentTime + GUARD_S;
};
const schedule = (playing, pcm) => {
  const sound = samples(pcm);
  if (!sound.length) return;
  const buffer = context.createBuffer(1, sound.length, context.sampleRate);
  buffer.copyToChannel(sound, 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(output);
  const start = begin_at(playing);
  source.start(start);
  playing.until = start + buffer.duration;
  playing.n_samples += sound.length;
  playing.sources.add(source);
  source.onended = () => { playing.sources.delete(source); end_if_over(playing); };
};
const end_if_over = (playing) => {
  if (playing === now_playing && playing.done && !playing.sources.size) { show("done"); trigger("end"); }
};
const silence = () => {
  if (!now_playing) return;
  const { sources } = now_playing;
  now_playing.gone = true;
  output.gain.setTargetAtTime(0, context.currentTime, FADE_S / 3);
  for (const source of sources) { source.onended = null; source.stop(context.currentTime + FADE_S); }
  output = context.createGain(); // the old one fades out with what it was playing
  output.connect(meter);
};

// ---- from the server to the speaker --------------------------------------------------------------
const later = (ms) => new Promise((then) => setTimeout(then, ms));
const ask = async (playing) => {
  for (let i = 0; i < N_TRIES && !playing.gone; i++) {
    try { return await server.more({ stream: playing.id, start: playing.n_samples }); }
    catch { await later(200 * 2 ** Math.min(i, 4)); }
  }
  return null;
};
const fetch_rest = async (playing) => {
  while (!playing.gone && !playing.done) {
    const ahead_s = playing.until - context.currentTime;
    if (ahead_s > AHEAD_S) { await later(250); continue; }
    const more = await ask(playing);
    if (playing.gone) return;
    if (!more) { show("failed"); return; }
    schedule(playing, more.pcm);
    playing.done = more.done;
  }
  end_if_over(playing);
};
const play = async ({ stream, rate_hz, pcm }) => {
  silence();
  prepare(rate_hz);
  const playing = { id: stream, rate_hz, asked_ms, until: 0, n_samples: 0, done: false, gone: false, sources: new Set() };
  now_playing = playing;
  $("").dataset.underruns = 0;
  schedule(playing, pcm);
  show("playing");
  requestAnimationFrame(draw);
  fetch_rest(playing);
  if (context.state === "running") return;
  // Without a click in this page yet, the browser holds the sound back until there is one.
  await Promise.race([context.resume(), later(PATIENCE_MS)]);
  if (context.state !== "running" && playing === now_playing) show("blocked");
};
const stop = () => {
  const playing = now_playing;
  if (!playing || OVER.includes($("").dataset.state)) return;
  silence();
  context.resume();
  playing.done = true;
  show("done");
};

// ---- hands ---------------------------------------------------------------------------------------
element.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (button === $("-stop")) { stop(); trigger("stop"); return; }
  if (button !== $("-play") || !now_playing) return;
  const state = $("").dataset.state;
  if (state === "playing") { await context.suspend(); show("paused"); return; }
  if (state === "done" || state === "failed") { play({ stream: now_playing.id, rate_hz: now_playing.rate_hz, pcm: "" }); return; }
  await context.resume();
  show("playing");
});
const note_time = (event) => {
  if (element.contains(event.target)) return;
  if (event.type === "click" || event.key === "Enter") asked_ms = performance.now();
  // Safari starts sound only in a context that was made during a click.
  if (!context) prepare(props.rate_hz);
  if (!now_playing) context.resume();
};
document.addEventListener("click", note_time, true);
document.addEventListener("keydown", note_time, true);
document.addEventListener("raydio-stop", stop);

const seen = new Set(); // the value comes again with every yield, and with those of a handler that was replaced
const changed = () => {
  const value = props.value;
  if (!value?.stream) { stop(); return; }
  if (seen.has(value.stream)) return;
  seen.add(value.stream);
  play(value);
};
watch("value", changed);
show("idle");
