// One message of the conversation: what was said, by whom, when, its sound, and how it looks in the log.
const ROLES = { user: "You", assistant: "Raydio", problem: "Problem" };
const UNHEARD = "(no words)";

class Entry {
  // replay(entry) plays its sound; words to do something with it come from `offer`.
  constructor(id, role, replay) {
    Object.assign(this, { id, role, replay, text: "", final: false, at: new Date(), sound: new Int16Array() });
    this.captions = new Map(); // clause -> words
    this.sources = [];
    this.timing = null; // raydio.turn
    this.heard_after_ms = null; // from the end of the question to the first sound, at the speaker
    this.to_speech = false; // the question was spoken
    this.by_ear = false; // nobody said that this would be a turn: it sounded like speech
    this.played_ms = null; // of an answer that was cut off
    this.words = [];
    this.draw_frame();
  }

  draw_frame() {
    this.node = make("li", "ray-live-entry");
    Object.assign(this.node.dataset, { role: this.role, item: this.id, final: "false" });
    this.node.append(make("span", "ray-hidden", `${ROLES[this.role]}: `));
    this.body = this.node.appendChild(make("div", "ray-live-text"));
    this.body.dir = "auto";
    this.note = this.node.appendChild(make("p", "ray-live-note"));
    this.about = this.node.appendChild(make("div", "ray-live-about"));
    this.foot = this.node.appendChild(make("div", "ray-live-foot"));
    this.replay_button = button("ray-live-small ray-live-replay", "", () => this.replay(this));
    this.replay_button.hidden = true;
    this.foot.append(this.replay_button);
  }

  get empty() { return !this.text && !this.sound.length && !this.note.textContent; }

  say(text, { final = false } = {}) {
    this.text = text;
    this.final = final;
    this.draw();
  }

  draw() {
    this.now = null;
    this.node.dataset.final = String(this.final);
    if (this.role === "assistant") {
      const words = [...this.captions].sort(([a], [b]) => a - b).flatMap(([, clause]) => clause);
      const written = write_answer(this.body, this.text, words, { played_ms: this.played_ms ?? Infinity, sources: this.sources });
      Object.assign(this, { words: written.words, heard_text: written.heard });
    } else this.body.textContent = this.text || (this.final ? UNHEARD : "…");
  }

  caption({ clause, words }) {
    this.captions.set(clause, words);
    this.draw();
  }

  // Marks the word that sounds at this time of the answer; null when it is over.
  follow(heard_ms) {
    const now = heard_ms === null ? -1 : this.words.findLastIndex(({ start_ms }) => start_ms <= heard_ms);
    if (now === this.now && this.node.hasAttribute("data-speaking") === (heard_ms !== null)) return;
    this.now = now; // the word that is marked; null when the words are new
    this.node.toggleAttribute("data-speaking", heard_ms !== null);
    this.words.forEach(({ node }, i) => {
      node.classList.toggle("ray-now", i === now);
      node.classList.toggle("ray-heard", i <= now);
    });
  }

  // It was cut off: what was not heard is struck through, and the model will not remember it either.
  cut(played_ms, why) {
    this.played_ms = played_ms;
    this.final = true;
    this.node.dataset.interrupted = why;
    this.node.dataset.playedMs = String(Math.round(played_ms));
    this.follow(null);
    this.draw();
    this.explain(played_ms > 0 ? `${why} after ${milliseconds(played_ms)}` : `${why} before it was heard`);
  }

  explain(text) { this.note.textContent = text; }

  fail(text) {
    this.node.dataset.failed = "true";
    this.explain(text);
  }

  keep(sound) {
    this.sound = sound;
    this.playing(false);
  }

  playing(playing) {
    const length = `${(this.sound.length / RATE_HZ).toFixed(1)} s`;
    this.replay_button.hidden = !this.sound.length;
    this.replay_button.textContent = playing ? "■ Stop" : `▶ ${length}`;
    this.replay_button.setAttribute("aria-label", playing ? "Stop playing" : `Play ${this.role === "user" ? "what you said" : "the answer"} again, ${length}`);
  }

  show_sources(sources) {
    this.sources = sources;
    this.draw();
    this.draw_about();
  }

  show_timing(timing) {
    this.timing = timing;
    this.draw_about();
  }

  draw_about() {
    const { timing, sources } = this;
    const parts = sources.length ? [source_list(sources)] : [];
    if (timing) parts.push(...timing.notes.map((text) => make("p", "ray-live-quiet", text)));
    if (timing || this.heard_after_ms !== null) parts.push(this.where());
    this.about.replaceChildren(...parts);
  }

  where() {
    const fold = make("details", "ray-live-where");
    fold.open = this.about.querySelector(".ray-live-where")?.open ?? false;
    const speed = this.timing?.tokens_per_s ? ` · ${this.timing.tokens_per_s.toFixed(0)} tokens/s` : "";
    const after = this.heard_after_ms === null ? "Where the time went" : `Heard after ${milliseconds(this.heard_after_ms)}`;
    fold.append(make("summary", "", after + speed));
    if (this.timing?.spans.length) fold.append(waterfall([...this.timing.spans, ...this.way_to_the_ear()]));
    return fold;
  }

  // From the server's first sound to the speaker's: network, browser and sound card.
  way_to_the_ear() {
    const start_ms = this.timing.voice_to_voice_ms, duration_ms = this.heard_after_ms - start_ms;
    return this.to_speech && start_ms && duration_ms > 0 ? [{ name: "to the ear", start_ms, duration_ms }] : [];
  }

  // What the model remembers of it.
  get remembered() { return (this.played_ms === null ? this.text : this.heard_text).trim(); }
}
