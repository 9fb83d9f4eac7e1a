// The conversation with the server: what its events mean for the log, the speaker and the state.
const IGNORED_ERRORS = /^(cancel|truncate|clear)_/; // asked for what was over by then

class Session {
  constructor({ address, log, speaker, settings, changed }) {
    Object.assign(this, { log, speaker, settings, changed });
    this.socket = new LiveSocket(address, {
      greet: (resumed, waiting) => this.greet(resumed, waiting),
      heard: (event) => this.hear(event),
      phase: (name, reason) => this.entered(name, reason),
    });
    this.uplink = new Uplink((event) => this.socket.send(event));
    this.n_ids = 0;
    this.rest();
  }

  // Nothing is going on.
  rest() {
    this.hearing = ""; // the user's item that is being spoken
    this.held = false; // the user says when the turn begins and ends
    this.suspected = false;
    this.responses = new Set(); // being made
    this.awaited = ""; // the user's item that will be answered
    this.unwanted = false; // it was stopped before the session had begun to answer
    this.stopped = new Set(); // responses of which nothing more is to be heard
    this.asked = null; // {at_ms, spoken}: when the question ended, until its answer is heard
    this.items_of = new Map(); // response -> its items
  }

  get phase() { return this.socket.phase; }
  get thinking() { return Boolean(this.awaited) || this.responses.size > 0; }

  id(prefix) { return `${prefix}_${Date.now().toString(36)}${(this.n_ids++).toString(36)}`; }
  tell(type, more = {}) { this.socket.send({ type, ...more }); }

  open() { this.socket.open(); }

  close() {
    this.socket.close();
    this.rest();
  }

  // ---- what must be said first ---------------------------------------------------------------------
  greet(resumed, waiting) {
    if (resumed) return [];
    const unanswered = this.thinking && [...this.log.entries.values()].at(-1)?.role === "user";
    const asks = waiting.some((text) => text.startsWith('{"type":"response.create"'));
    const { awaited, asked, held } = this;
    this.rest();
    this.settle();
    if (unanswered || asks) Object.assign(this, { awaited: awaited || "again", asked });
    this.held = held;
    this.uplink.rebase(waiting.reduce((n, text) => n + n_samples(text), 0));
    return [
      { type: "session.update", session: this.settings() },
      ...this.remembered(),
      ...(unanswered && !asks ? [{ type: "response.create" }] : []),
    ];
  }

  // What an old session had not finished stays as far as it came.
  settle() {
    for (const id of this.speaker.pending) this.speaker.end(id);
    for (const entry of [...this.log.entries.values()].filter(({ final }) => !final)) {
      if (!entry.text) { this.log.remove(entry.id); continue; }
      entry.say(entry.text, { final: true });
      entry.explain("The connection was lost before this was complete.");
    }
  }

  // The conversation so far, for a session that does not know it.
  remembered() {
    return [...this.log.entries.values()].filter(({ role, remembered }) => role !== "problem" && remembered).map((entry) => ({
      type: "conversation.item.create",
      item: {
        id: entry.id, type: "message", role: entry.role,
        content: [{ type: entry.role === "user" ? "input_text" : "output_text", text: entry.remembered }],
      },
    }));
  }

  entered(phase, reason) {
    if (phase === "closed") this.rest();
    this.changed({ phase, reason });
  }

  // ---- what the user does --------------------------------------------------------------------------
  update() { this.tell("session.update", { session: this.settings() }); }

  type(text) {
    const id = this.id("typed");
    this.hush("interrupted");
    this.log.entry(id, "user").say(text, { final: true });
    this.tell("conversation.item.create", { item: { id, type: "message", role: "user", content: [{ type: "input_text", text }] } });
    this.ask(id, { spoken: false });
  }

  // The last question once more.
  retry() {
    this.hush("stopped");
    const entries = [...this.log.entries.values()];
    const question = entries.findLast(({ role }) => role === "user");
    if (!question) return;
    for (const { id, role } of entries.slice(entries.indexOf(question) + 1)) {
      if (role === "assistant") this.tell("conversation.item.delete", { item_id: id });
      this.log.remove(id);
    }
    this.ask(question.id, { spoken: false });
  }

  ask(item_id, { spoken }) {
    this.await_answer(item_id, { at_ms: performance.now(), spoken });
    this.tell("response.create");
    this.changed({});
  }

  await_answer(item_id, asked) { Object.assign(this, { awaited: item_id, asked, unwanted: false }); }

  // Push to talk: between these two the session decides nothing by itself.
  hold() {
    this.hush("interrupted");
    this.held = true;
    this.tell("session.update", { session: { type: "realtime", audio: { input: { turn_detection: null } } } });
    this.uplink.flush();
    this.tell("input_audio_buffer.clear", { event_id: this.id("clear") });
    this.uplink.turn_open = true;
    this.uplink.keep_from = this.uplink.n_sent;
    this.changed({});
  }

  release({ answer }) {
    this.uplink.flush();
    this.tell(answer ? "input_audio_buffer.commit" : "input_audio_buffer.clear");
    this.held = this.uplink.turn_open = false;
    if (answer) this.ask("held", { spoken: true });
    this.update();
    this.changed({});
  }

  clear() {
    this.hush("stopped");
    for (const { id, role } of this.log.entries.values()) if (role !== "problem") this.tell("conversation.item.delete", { item_id: id });
    this.log.clear();
  }

  // Stop the answer, here and at the models; `why` is what the log says.
  async hush(why, arrived_ms = null) {
    const making = [...this.responses], playing = this.speaker.pending.length > 0;
    this.unwanted = Boolean(this.awaited);
    this.awaited = "";
    this.responses.clear();
    const stopping = this.speaker.stop();
    for (const response of making) this.silence(response);
    if (arrived_ms === null) { // else the server stopped it already, and said so then
      if (playing || making.length) this.tell("output_audio_buffer.clear", { event_id: this.id("clear") });
      for (const response_id of making) this.tell("response.cancel", { event_id: this.id("cancel"), response_id });
    }
    const { at_ms, cut } = await stopping;
    this.speaker.duck(false);
    for (const { item_id, played_ms, left_ms } of cut) {
      const unfinished = making.some((response) => this.items_of.get(response)?.has(item_id));
      if (left_ms <= 0 && !unfinished) continue;
      this.tell("conversation.item.truncate", {
        event_id: this.id("truncate"), item_id, content_index: 0, audio_end_ms: Math.floor(played_ms),
      });
      this.log.follow_end(() => this.log.get(item_id)?.cut(played_ms, why));
    }
    if (arrived_ms !== null && playing) this.changed({ stopped_ms: at_ms - arrived_ms });
    this.changed({});
  }

  silence(response_id) {
    this.stopped.add(response_id);
    for (const item_id of this.items_of.get(response_id) ?? []) this.speaker.refuse(item_id);
  }

  // ---- what the server says ------------------------------------------------------------------------
  hear(event) {
    const arrived_ms = performance.now();
    const react = REACTIONS[event.type];
    if (!react) return;
    if (event.type === "response.output_audio.delta") react(this, event); // often, and it changes nothing to see
    else this.log.follow_end(() => react(this, event, arrived_ms));
    this.changed({});
  }

  // The user's words and sound, once the turn is over.
  turn_ended(item_id, end_ms) {
    const { uplink } = this;
    if (uplink.keep_from < Infinity) this.log.get(item_id)?.keep(uplink.between((uplink.keep_from / RATE_HZ) * 1000, end_ms));
    uplink.keep_from = Infinity;
    uplink.turn_open = false;
    this.hearing = "";
  }

  answer_began(item_id, at_ms) {
    const entry = this.log.get(item_id);
    if (!entry || !this.asked) return;
    Object.assign(entry, { heard_after_ms: at_ms - this.asked.at_ms, to_speech: this.asked.spoken });
    this.asked = null;
    this.log.follow_end(() => { entry.draw_about(); this.log.count(); });
  }
}
