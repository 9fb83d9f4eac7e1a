// The microphone: opened when the user asks for it, closed with the conversation. Gives pieces of 20 ms and their level.
const REFUSALS = {
  insecure: "The browser gives the microphone only to secure pages: open this one through https or as localhost.",
  denied: "The browser does not allow the microphone here. Allow it in the site settings beside the address, then start again.",
  missing: "No microphone was found. Connect one and start again, or type below.",
  busy: "The microphone could not be opened. Another program may be using it: close that and start again.",
};
const REASONS = {
  NotAllowedError: "denied", SecurityError: "denied", NotFoundError: "missing", OverconstrainedError: "missing",
};

class Microphone {
  constructor(sound_card, { heard, lost }) {
    this.sound_card = sound_card;
    this.heard = heard; // (samples, level)
    this.lost = lost; // it was unplugged, or taken away
    this.stream = null;
  }

  get is_open() { return this.stream !== null; }

  // Returns why not: a word of REFUSALS, or "".
  async open(device_id = "") {
    if (!window.isSecureContext || !navigator.mediaDevices) return "insecure";
    try {
      const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
      if (device_id) audio.deviceId = { exact: device_id };
      const stream = await navigator.mediaDevices.getUserMedia({ audio });
      this.close();
      this.stream = stream;
      await this.listen(stream);
    } catch (error) {
      this.close();
      return REASONS[error.name] ?? "busy";
    }
    this.stream.getTracks().forEach((track) => { track.onended = () => { this.close(); this.lost(); }; });
    return "";
  }

  async listen(stream) {
    const context = await this.sound_card.open();
    try {
      this.connect(context, context.createMediaStreamSource(stream));
    } catch (error) {
      if (error.name !== "NotSupportedError") throw error;
      // Firefox connects a microphone only to a context of its own rate: the worklet changes the rate then.
      this.own_context = new AudioContext();
      await add_worklets(this.own_context);
      this.connect(this.own_context, this.own_context.createMediaStreamSource(stream));
      this.own_context.resume();
    }
  }

  connect(context, source) {
    this.source = source;
    this.node = new AudioWorkletNode(context, "raydio-microphone", {
      channelCount: 1, channelCountMode: "explicit", processorOptions: { rate_hz: RATE_HZ },
    });
    this.node.port.onmessage = ({ data }) => this.heard(data.samples, data.level);
    source.connect(this.node).connect(context.destination); // an unconnected node is not run; it puts out silence
  }

  close() {
    this.stream?.getTracks().forEach((track) => { track.onended = null; track.stop(); });
    this.source?.disconnect();
    this.node?.port.postMessage("close");
    this.node?.disconnect();
    this.own_context?.close();
    this.stream = this.source = this.node = this.own_context = null;
  }

  // Muted, the browser shows that nothing is recorded, and the worklet hears digital silence.
  mute(muted) { this.stream?.getTracks().forEach((track) => { track.enabled = !muted; }); }

  static async choices() {
    const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    return devices.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId);
  }
}
