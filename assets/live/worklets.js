// Runs on the audio thread. The microphone: blocks of 128 samples, at whatever rate the sound card has, become pieces
// of 20 ms at the session's rate. The speaker: a queue that plays an answer's sound, counts it, and stops at once.
const PIECE_S = 0.02;
const REACH = 16; // zero crossings of the resampling filter on each side
const STEPS = 256; // of the filter's table, between two zero crossings

// Band-limited interpolation: each output sample is a sum of its neighbours, weighted by a windowed sinc that cuts off
// what the lower of the two rates cannot hold.
class Resampler {
  constructor(from_hz, to_hz) {
    this.step = from_hz / to_hz;
    this.squeeze = Math.min(1, to_hz / from_hz) * 0.94; // room for the filter's slope below half the rate
    this.reach = Math.ceil(REACH / this.squeeze);
    this.table = Float32Array.from({ length: REACH * STEPS + 2 }, (_, i) => {
      const x = i / STEPS, window = 0.5 + 0.5 * Math.cos((Math.PI * Math.min(x, REACH)) / REACH);
      return (x ? Math.sin(Math.PI * x) / (Math.PI * x) : 1) * window * this.squeeze;
    });
    this.past = new Float32Array(2 * this.reach);
    this.at = this.reach; // where the next output sample lies in `past`
  }

  weight(distance) {
    const place = Math.abs(distance) * this.squeeze * STEPS;
    const index = Math.floor(place);
    if (index > REACH * STEPS) return 0;
    return this.table[index] + (place - index) * (this.table[index + 1] - this.table[index]);
  }

  push(block) {
    const sound = new Float32Array(this.past.length + block.length);
    sound.set(this.past);
    sound.set(block, this.past.length);
    const out = [];
    for (; this.at < sound.length - this.reach; this.at += this.step) {
      let sum = 0;
      for (let n = Math.ceil(this.at - this.reach); n <= this.at + this.reach; n++) sum += sound[n] * this.weight(this.at - n);
      out.push(sum);
    }
    const done = Math.max(0, Math.floor(this.at) - this.reach);
    this.past = sound.slice(done);
    this.at -= done;
    return out;
  }
}

class Microphone extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate_hz } }) {
    super();
    this.resampler = rate_hz === sampleRate ? null : new Resampler(sampleRate, rate_hz);
    this.piece = new Int16Array(Math.round(rate_hz * PIECE_S));
    this.filled = 0;
    this.power = 0;
    this.open = true;
    this.port.onmessage = () => { this.open = false; };
  }

  process([input]) {
    if (input.length) for (const sample of this.resampler ? this.resampler.push(input[0]) : input[0]) this.take(sample);
    return this.open;
  }

  take(sample) {
    this.power += sample * sample;
    this.piece[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
    if (this.filled < this.piece.length) return;
    const samples = this.piece.slice();
    this.port.postMessage({ samples, level: Math.sqrt(this.power / samples.length) }, [samples.buffer]);
    this.filled = 0;
    this.power = 0;
  }
}

const FADE_S = 0.006; // a stop without a click
const GLIDE_S = 0.015; // a change of loudness without one
const GUARD_S = 0.08; // waited for at first and after running dry: a first piece may be shorter than a pause of the page
const REPORT_S = 0.04;

class Speaker extends AudioWorkletProcessor {
  constructor() {
    super();
    this.queue = []; // {item, samples, at}
    this.ended = new Set(); // items of which no more will come
    this.item = null; // what is being played
    this.played = 0; // of it, in samples
    this.dry = false;
    this.underruns = 0;
    this.gain = this.wanted = 1;
    this.fade = null; // {left, token} while stopping
    this.reported = 0;
    this.port.onmessage = ({ data }) => this.told(data);
  }

  told({ play, end, stop, gain }) {
    if (play) this.queue.push({ item: play.item, samples: play.samples, at: 0 });
    if (end) this.ended.add(end);
    if (gain !== undefined) this.wanted = gain;
    if (stop) this.fade = { left: Math.round(FADE_S * sampleRate), token: stop };
  }

  process(_, [[out]]) {
    const glide = 1 - Math.exp(-1 / (GLIDE_S * sampleRate));
    for (let i = 0; i < out.length; i++) {
      if (this.fade && (this.fade.left <= 0 || !this.ready())) this.silence(currentTime + i / sampleRate);
      this.gain += (this.wanted - this.gain) * glide;
      out[i] = this.next() * this.gain * (this.fade ? this.fade.left-- / (FADE_S * sampleRate) : 1);
    }
    if (this.item && currentTime - this.reported >= REPORT_S) this.report(true);
    return true;
  }

  next() {
    if (!this.ready()) return 0;
    const head = this.queue[0];
    if (head.item !== this.item) this.begin(head.item);
    const sample = head.samples[head.at++] / 32768;
    this.played++;
    if (head.at === head.samples.length) this.queue.shift();
    if (!this.queue.length) this.run_out();
    return sample;
  }

  ready() {
    if (!this.queue.length && this.item && this.ended.has(this.item)) this.finish();
    if (!this.queue.length) return false;
    const [{ item }] = this.queue;
    if ((this.dry || item !== this.item) && !this.ended.has(item)) {
      const waiting = this.queue.reduce((n, { samples, at }) => n + samples.length - at, 0);
      if (waiting < GUARD_S * sampleRate) return false;
    }
    if (this.dry) this.resume();
    return true;
  }

  begin(item) {
    if (this.item) this.finish();
    this.item = item;
    this.played = 0;
    this.report(true);
  }

  run_out() {
    if (this.ended.has(this.item)) this.finish();
    else this.dry = true;
  }

  resume() {
    this.dry = false;
    if (this.queue[0].item !== this.item) return;
    this.underruns++; // a gap in the middle of an answer, and somebody heard it
    this.report(true);
  }

  finish() {
    this.report(false);
    this.ended.delete(this.item);
    this.item = null;
    this.dry = false;
  }

  silence(at_s) {
    const { token } = this.fade;
    this.port.postMessage({ stopped: { token, at_s, item: this.item, played: this.played } });
    this.queue = [];
    this.fade = this.item = null;
    this.dry = false;
    this.ended.clear();
    this.gain = this.wanted = 1;
  }

  report(playing) {
    this.reported = currentTime;
    this.port.postMessage({ item: this.item, played: this.played, at_s: currentTime, playing, underruns: this.underruns });
  }
}

registerProcessor("raydio-microphone", Microphone);
registerProcessor("raydio-speaker", Speaker);
