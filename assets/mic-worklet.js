// Runs on the audio thread: collects the microphone's blocks of 128 samples into pieces of about 20 ms and hands
// them to recorder.js, each with its loudness.
const PIECE_S = 0.02;

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Float32Array(Math.round((sampleRate * PIECE_S) / 128) * 128);
    this.filled = 0;
  }

  process([input]) {
    if (input.length) this.collect(input[0]);
    return true;
  }

  collect(block) {
    this.piece.set(block, this.filled);
    this.filled += block.length;
    if (this.filled < this.piece.length) return;
    const samples = this.piece.slice();
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    this.port.postMessage({ samples, level: Math.sqrt(power) }, [samples.buffer]);
    this.filled = 0;
  }
}

registerProcessor("raydio-microphone", Microphone);
