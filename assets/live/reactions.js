// One function for each event of the server that the page has an answer to. Events that are not here are ignored.
const PARTS = ["input_text", "text", "output_text"];
const said_in = (item) => (item.content ?? []).map((part) => (PARTS.includes(part.type) ? part.text : part.transcript) ?? "").join("");

const REACTIONS = {
  // ---- the user's turn ---------------------------------------------------------------------------
  "input_audio_buffer.speech_started": (session, { item_id, audio_start_ms }, arrived_ms) => {
    session.suspected = false;
    session.hearing = item_id;
    session.uplink.turn_open = true;
    session.uplink.keep_from = Math.max(0, Math.round((audio_start_ms * RATE_HZ) / 1000));
    session.hush("interrupted", arrived_ms);
    session.unwanted = false;
    session.log.entry(item_id, "user").by_ear = true;
  },
  "raydio.transcript.partial": (session, { item_id, text }) => {
    const entry = session.log.entry(item_id, "user");
    if (!entry.final) entry.say(text);
  },
  "input_audio_buffer.speech_stopped": (session, { item_id, audio_end_ms }) => {
    session.await_answer(item_id, { at_ms: session.uplink.made_at_ms(audio_end_ms) ?? performance.now(), spoken: true });
    session.turn_ended(item_id, audio_end_ms);
  },
  "input_audio_buffer.committed": (session, { item_id }) => {
    session.log.entry(item_id, "user");
    session.turn_ended(item_id, session.uplink.sent_ms); // push to talk: nobody said when the speech stopped
  },
  "input_audio_buffer.cleared": (session) => {
    if (session.hearing) session.log.remove(session.hearing);
    session.hearing = "";
    session.uplink.turn_open = session.held;
  },
  "conversation.item.input_audio_transcription.completed": (session, { item_id, transcript }) => {
    const entry = session.log.entry(item_id, "user");
    entry.say(transcript.trim(), { final: true });
    session.log.announce(entry);
    if (transcript.trim()) return;
    session.awaited = "";
    if (entry.by_ear) session.log.remove(item_id); // a cough; who held a key wants to know
  },
  "conversation.item.input_audio_transcription.failed": (session, { item_id, error }) => {
    const entry = session.log.entry(item_id, "user");
    entry.say(entry.text, { final: true });
    entry.fail(error.message);
    session.awaited = "";
  },

  // ---- interruptions -----------------------------------------------------------------------------
  "raydio.barge_in.suspected": (session) => {
    session.suspected = true;
    session.speaker.duck(true);
  },
  "raydio.barge_in.dismissed": (session) => {
    session.suspected = false;
    session.speaker.duck(false);
  },

  // ---- the answer --------------------------------------------------------------------------------
  "conversation.item.added": (session, { item }) => {
    if (!(item.role in ROLES)) return; // instructions
    const entry = session.log.entry(item.id, item.role);
    const text = said_in(item);
    if (text && !entry.text) entry.say(text, { final: item.status === "completed" });
  },
  "response.created": (session, { response }) => {
    session.items_of.set(response.id, new Set());
    if (session.unwanted) {
      session.silence(response.id);
      session.tell("response.cancel", { event_id: session.id("cancel"), response_id: response.id });
    } else session.responses.add(response.id);
    Object.assign(session, { awaited: "", unwanted: false });
  },
  "response.output_item.added": (session, { response_id, item }) => {
    session.items_of.get(response_id)?.add(item.id);
    if (session.stopped.has(response_id)) session.speaker.refuse(item.id);
    session.log.entry(item.id, "assistant");
  },
  "response.output_audio_transcript.delta": (session, { item_id, delta }) => {
    const entry = session.log.entry(item_id, "assistant");
    entry.say(entry.text + delta);
  },
  "response.output_text.delta": (session, event) => REACTIONS["response.output_audio_transcript.delta"](session, event),
  "response.output_audio.delta": (session, { item_id, delta }) => session.speaker.play(item_id, from_base64(delta)),
  "response.output_audio.done": (session, { item_id }) => session.speaker.end(item_id),
  "response.output_audio_transcript.done": (session, { item_id, transcript }) => {
    const entry = session.log.entry(item_id, "assistant");
    if (entry.played_ms === null) entry.say(transcript, { final: true });
  },
  "response.done": (session, { response }) => {
    session.responses.delete(response.id);
    session.stopped.delete(response.id);
    for (const item_id of session.items_of.get(response.id) ?? []) finish_answer(session, item_id, response);
    if (response.status === "failed") refuse_answer(session, response);
  },
  "raydio.captions": (session, event) => session.log.entry(event.item_id, "assistant").caption(event),
  "raydio.sources": (session, { item_id, sources }) => session.log.entry(item_id, "assistant").show_sources(sources),
  "raydio.turn": (session, { item_id, ...timing }) => {
    if (item_id) session.log.entry(item_id, "assistant").show_timing({ notes: [], spans: [], ...timing });
  },
  error: (session, { error }) => {
    if (IGNORED_ERRORS.test(error.event_id ?? "")) return;
    session.awaited = "";
    session.log.problem(error.message);
  },
};

const finish_answer = (session, item_id, { status, status_details: details }) => {
  const entry = session.log.get(item_id);
  if (!entry) return;
  session.speaker.end(item_id);
  entry.say(entry.text, { final: true });
  session.log.announce(entry);
  if (status === "cancelled" && entry.played_ms === null && !session.speaker.length_ms(item_id)) {
    entry.cut(0, details?.reason === "turn_detected" ? "interrupted" : "stopped");
  } else if (status === "incomplete") entry.explain("It stopped at the longest answer.");
};
const refuse_answer = (session, { id, status_details: details }) => {
  const text = details?.error?.message ?? "The answer failed. Ask again.";
  const entry = [...(session.items_of.get(id) ?? [])].map((item_id) => session.log.get(item_id)).find(Boolean);
  if (!entry) { session.log.problem(text); return; }
  entry.fail(text);
  session.log.say_aloud(text);
};
