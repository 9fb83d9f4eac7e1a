// The answers' sound: a queue on the audio thread, so that stopping is immediate and what was played is counted exactly.
const DUCKED = 0.3; // loudness while somebody may be interrupting

class Speaker {
  constructor(sound_card, { progress, began }) {
    this.sound_card = sound_card;
    this.progress = progress; // (item id, {played_ms, playing}): often while it plays, and at its end
    this.began = began; // (item id, at_ms): its first sample left the speaker
    this.items = new Map(); // id -> {pieces, n_samples, played, at_s, state: waiting | playing | done}
    this.underruns = 0;
    this.stops = new Map();
  }

  async open() {
    const context = await this.sound_card.open();
    if (this.node?.context === context) return;
    this.node = new AudioWorkletNode(context, "raydio-speaker", { numberOfInputs: 0, outputChannelCount: [1] });
    this.node.port.onmessage = ({ data }) => (data.stopped ? this.silent(data.stopped) : this.reported(data));
    this.node.connect(context.destination);
  }

  play(item_id, samples) {
    const item = this.items.get(item_id) ?? { pieces: [], n_samples: 0, played: 0, at_s: 0, state: "waiting" };
    this.items.set(item_id, item);
    if (item.state === "done" || !samples.length) return; // it was stopped; this was on its way
    item.pieces.push(samples);
    item.n_samples += samples.length;
    this.node.port.postMessage({ play: { item: item_id, samples } });
  }

  // What comes of this item is not to be heard.
  refuse(item_id) {
    if (!this.items.has(item_id)) this.items.set(item_id, { pieces: [], n_samples: 0, played: 0, at_s: 0, state: "done" });
  }

  end(item_id) { if (this.items.has(item_id)) this.node.port.postMessage({ end: item_id }); }

  duck(ducked) { this.node?.port.postMessage({ gain: ducked ? DUCKED : 1 }); }

  // What is playing or about to, oldest first.
  get pending() { return [...this.items].filter(([, { state }]) => state !== "done").map(([id]) => id); }

  // Silence, now. Resolves to when the speaker fell silent and what was cut off: [{item_id, played_ms, left_ms}].
  async stop() {
    const cut = this.pending;
    for (const id of cut) this.items.get(id).state = "done";
    if (!this.node || !cut.length) return { at_ms: performance.now(), cut: [] };
    const token = crypto.getRandomValues(new Uint32Array(1))[0] + 1;
    const { at_s, item, played } = await new Promise((then) => {
      this.stops.set(token, then);
      this.node.port.postMessage({ stop: token });
    });
    if (this.items.has(item)) this.items.get(item).played = played;
    const told = cut.map((id) => ({ item_id: id, played_ms: this.played_ms(id), left_ms: this.length_ms(id) - this.played_ms(id) }));
    for (const { item_id, played_ms } of told) this.progress(item_id, { played_ms, playing: false });
    return { at_ms: Math.max(performance.now(), this.sound_card.heard_at_ms(at_s)), cut: told };
  }

  silent(stopped) {
    this.stops.get(stopped.token)?.(stopped);
    this.stops.delete(stopped.token);
  }

  reported({ item: id, played, at_s, playing, underruns }) {
    this.underruns = underruns;
    const item = this.items.get(id);
    if (!item) return;
    if (item.state === "done") { item.played = Math.max(item.played, played); return; }
    const first = item.state === "waiting";
    Object.assign(item, { played, at_s, state: playing ? "playing" : "done" });
    if (first) this.began(id, this.sound_card.heard_at_ms(at_s));
    this.progress(id, { played_ms: this.played_ms(id), playing });
  }

  played_ms(id) { return ((this.items.get(id)?.played ?? 0) / RATE_HZ) * 1000; }

  length_ms(id) { return ((this.items.get(id)?.n_samples ?? 0) / RATE_HZ) * 1000; }

  // What is being heard at this moment, between two reports of the audio thread.
  heard_ms(id) {
    const item = this.items.get(id);
    if (item?.state !== "playing") return this.played_ms(id);
    const { currentTime, outputLatency = 0 } = this.sound_card.context;
    const since = Math.max(0, Math.min(0.1, currentTime - item.at_s));
    return Math.max(0, Math.min(this.length_ms(id), this.played_ms(id) + (since - outputLatency) * 1000));
  }

  // What was played of an answer, to keep.
  sound(id) {
    const item = this.items.get(id);
    return item ? joined(item.pieces).subarray(0, item.state === "done" ? item.played : item.n_samples) : new Int16Array();
  }
}
