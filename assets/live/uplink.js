// From the microphone to the session: sends pieces as they come, and together while the room is quiet, which keeps an
// idle conversation cheap. Remembers what it sent, to play a turn back and to say when a sound was made.
const QUIET_LEVEL = 10 ** (-50 / 20); // RMS; below it is a quiet room
const TOGETHER_S = 0.2; // of quiet pieces
const HANGOVER_S = 2.5; // so long after the last sound the end of a turn may still be decided: nothing waits
const KEPT_S = 120; // of sound already sent

class Uplink {
  constructor(send) {
    this.send = send;
    this.reset();
  }

  // A new session counts its sound from zero.
  reset() {
    this.n_sent = 0; // samples, since the session began
    this.held = [];
    this.kept = []; // {start, samples, at_ms}
    this.keep_from = Infinity;
    this.sounded_ms = -Infinity;
    this.turn_open = false;
  }

  // Another session takes over: of what was recorded only the last `n_samples` go to it, and they are its first.
  rebase(n_samples) {
    const shift = n_samples - this.n_sent;
    this.kept = this.kept.map((piece) => ({ ...piece, start: piece.start + shift })).filter(({ start }) => start >= 0);
    this.n_sent = n_samples;
    this.keep_from = Infinity;
    this.turn_open = false;
  }

  hear(samples, level, at_ms = performance.now()) {
    if (level > QUIET_LEVEL) this.sounded_ms = at_ms;
    this.held.push(samples);
    this.keep(samples, at_ms);
    const quiet = !this.turn_open && at_ms - this.sounded_ms > HANGOVER_S * 1000;
    const waiting = this.held.reduce((n, piece) => n + piece.length, 0);
    if (!quiet || waiting >= TOGETHER_S * RATE_HZ) this.flush();
  }

  flush() {
    if (!this.held.length) return;
    this.send({ type: "input_audio_buffer.append", audio: to_base64(joined(this.held)) });
    this.held = [];
  }

  keep(samples, at_ms) {
    this.kept.push({ start: this.n_sent, samples, at_ms });
    this.n_sent += samples.length;
    const oldest = Math.min(this.n_sent - KEPT_S * RATE_HZ, this.keep_from);
    while (this.kept.length && this.kept[0].start + this.kept[0].samples.length <= oldest) this.kept.shift();
  }

  get sent_ms() { return (this.n_sent / RATE_HZ) * 1000; }

  // The sound between two times of the session's input stream.
  between(start_ms, end_ms) {
    const [start, end] = [start_ms, end_ms].map((ms) => Math.round((ms * RATE_HZ) / 1000));
    return joined(this.kept.flatMap((piece) => {
      const [from, to] = [Math.max(0, start - piece.start), Math.min(piece.samples.length, end - piece.start)];
      return to > from ? [piece.samples.subarray(from, to)] : [];
    }));
  }

  // When the sound at this time of the input stream was made, on the page's clock.
  made_at_ms(stream_ms) {
    const sample = Math.min(this.n_sent, (stream_ms * RATE_HZ) / 1000);
    const piece = this.kept.findLast(({ start }) => start <= sample);
    return piece ? piece.at_ms - ((piece.start + piece.samples.length - sample) / RATE_HZ) * 1000 : null;
  }
}
