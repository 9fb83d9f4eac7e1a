// The page: what the user presses and sees. Gradio runs this script once the page is there, with `element`, `props`, `server`.
const root = element.querySelector(".ray-live");
const $ = (name) => root.querySelector(`.ray-live-${name}`);
const MUTE_SETTLES_MS = 3000; // silence still sent after muting, so that a turn that is open can end
const SHORT_MS = 300; // a shorter hold is a slip of the finger
const TAIL_MS = 100; // sound that was made before the release is still on its way through the sound card
const EXAMPLE_STEP_MS = 20, EXAMPLE_SILENCE_MS = 8000;
const FULL_SCALE = 0.2; // loudness of close, loud speech: the ring's end
const REPORT_MS = 250; // between two reports of what was played

const has_keys = window.matchMedia("(pointer: fine)").matches;
const STATES = {
  idle: ["Start conversation", ""],
  connecting: ["Connecting…", ""],
  ready: ["Connected", "The microphone is off: press it to talk."],
  listening: ["Listening", has_keys ? "Just talk. Or hold the space bar while you do." : "Just talk."],
  hearing: ["Hearing you", ""],
  held: ["Hearing you", "Let go of the space bar to send."],
  thinking: ["Thinking", ""],
  speaking: ["Speaking", "Talk to interrupt."],
  muted: ["Muted", has_keys ? "Press the microphone, or hold the space bar to talk." : "Press the microphone to talk."],
  reconnecting: ["Reconnecting…", "The connection was lost. What you say is kept."],
  unanswered: ["Connecting…", "Raydio does not answer. Trying again. If this lasts, reload the page."],
  refused: ["", ""],
};

const ui = { problem: "", reason: "", muted: false, muted_at_ms: 0, held_since_ms: null, opening: false, level: 0, example: null, replaying: null };
const sound_card = new SoundCard();
const speaker = new Speaker(sound_card, {
  progress: (item_id, { played_ms, playing }) => { report_played(item_id, played_ms, playing); show(); },
  began: (item_id, at_ms) => { session.answer_began(item_id, at_ms); },
});
const microphone = new Microphone(sound_card, { heard: (samples, level) => hear(samples, level), lost: () => { refuse("missing"); } });
const log = new Log(root, (entry) => replay(entry));
const settings = new Settings($("settings"), {
  changed: () => session.update(),
  microphone_changed: async (id) => { if (microphone.is_open) refuse(await microphone.open(id)); },
});
const session = new Session({
  address: props.address, log, speaker, settings: () => settings.session(),
  changed: (news) => {
    if (news.phase === "closed" && news.reason) { end(); ui.reason = news.reason; log.say_aloud(news.reason); }
    if (news.phase === "reconnecting") log.say_aloud(STATES.reconnecting.join(" "));
    if (news.stopped_ms !== undefined) root.dataset.stoppedMs = news.stopped_ms.toFixed(1);
    show();
  },
});

// ---- what the user sees ---------------------------------------------------------------------------
const state = () => {
  const { phase } = session;
  if (ui.opening || phase === "connecting") return "connecting";
  if (phase === "closed") return ui.problem || ui.reason ? "refused" : "idle";
  if (phase === "reconnecting") return "reconnecting";
  if (ui.held_since_ms !== null || session.hearing) return "hearing";
  if (speaker.pending.length) return "speaking";
  if (session.thinking) return "thinking";
  if (!microphone.is_open) return "ready";
  return ui.muted ? "muted" : "listening";
};
const show = () => {
  const now = state(), active = session.phase !== "closed";
  const never = now === "reconnecting" && !session.socket.session_id;
  const [word, hint] = STATES[never ? "unanswered" : ui.held_since_ms === null ? now : "held"];
  $("state").textContent = word;
  $("hint").textContent = REFUSALS[ui.problem] ?? (ui.reason || hint);
  Object.assign(root.dataset, {
    state: now, hint: ui.problem, muted: String(ui.muted), mic: microphone.is_open ? "open" : "closed",
    underruns: String(speaker.underruns), ducked: String(session.suspected), session: session.socket.session_id,
  });
  $("stop").hidden = !["speaking", "thinking"].includes(now);
  $("end").hidden = !active;
  const label = !active ? "Start conversation" : !microphone.is_open ? "Turn the microphone on" : ui.muted ? "Unmute the microphone" : "Mute the microphone";
  $("mic").setAttribute("aria-label", label);
  $("mic").title = label;
  if (!speaker.pending.length) follow();
};
const follow = () => {
  const [playing] = speaker.pending;
  if (ui.followed && ui.followed !== playing) log.get(ui.followed)?.follow(null);
  ui.followed = playing;
  if (!playing) return;
  root.dataset.playedMs = speaker.played_ms(playing).toFixed(1);
  log.get(playing)?.follow(speaker.heard_ms(playing));
};
const draw = () => {
  if (session.phase === "closed") { $("mic").style.setProperty("--level", 0); return; }
  $("mic").style.setProperty("--level", Math.min(1, ui.level / FULL_SCALE).toFixed(3));
  follow();
  requestAnimationFrame(draw);
};

// ---- sound ----------------------------------------------------------------------------------------
const hear = (samples, level) => {
  if (ui.example) return;
  const silent = (ui.muted && ui.held_since_ms === null) || ui.replaying;
  ui.level = silent ? 0 : level;
  if (ui.replaying) samples.fill(0);
  const settling = session.uplink.turn_open || session.suspected || performance.now() - ui.muted_at_ms < MUTE_SETTLES_MS;
  if (!silent || settling || ui.replaying) session.uplink.hear(samples, ui.level);
};
let reported = { at_ms: 0 };
const report_played = (item_id, played_ms, playing) => {
  const now_ms = performance.now();
  const entry = log.get(item_id);
  root.dataset.playedMs = played_ms.toFixed(1);
  if (!playing) log.follow_end(() => { entry?.keep(speaker.sound(item_id)); entry?.follow(null); });
  if (playing && reported.item_id === item_id && now_ms - reported.at_ms < REPORT_MS) return;
  reported = { item_id, at_ms: now_ms };
  session.tell("raydio.playback", { item_id, played_ms: Math.round(played_ms * 10) / 10, playing });
};
const replay = async (entry) => {
  const before = ui.replaying;
  before?.source.stop();
  if (before?.entry === entry) return;
  const context = await sound_card.open();
  const buffer = context.createBuffer(1, entry.sound.length, RATE_HZ);
  buffer.copyToChannel(Float32Array.from(entry.sound, (sample) => sample / 32768), 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(context.destination);
  const this_one = (ui.replaying = { entry, source });
  source.onended = () => { entry.playing(false); if (ui.replaying === this_one) ui.replaying = null; };
  entry.playing(true);
  source.start();
};
