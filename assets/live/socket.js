// The WebSocket to the session. A lost one is opened again and resumes the same session: what was said meanwhile is kept
// and sent then, and the server repeats what was missed. A session that is gone is replaced by a new one.
const FIRST_RETRY_MS = 250, LAST_RETRY_MS = 30000;
const KEPT_AUDIO_MESSAGES_BYTES = 30 * RATE_HZ * 2 * (4 / 3); // 30 s
const STUCK_MS = 5000; // nothing sent has left this machine for so long: the network is gone
const GONE = 4404; // the session to resume is unknown or has expired
const FINAL = [1008, 4401, 4403, 4409, 4429]; // the server says no: asking again does not help

class LiveSocket {
  // greet(resumed, waiting) returns what must be said before the messages that wait; heard(event); phase(name, reason)
  constructor(address, { greet, heard, phase }) {
    Object.assign(this, { address, greet, heard });
    this.tell = phase;
    this.phase = "closed"; // connecting | open | reconnecting
    this.forget();
    window.addEventListener("online", () => { if (this.phase === "reconnecting") this.connect(); });
    window.addEventListener("offline", () => { if (this.phase === "open") this.drop(); });
  }

  forget() {
    this.session_id = this.last_event_id = "";
    this.outbox = []; // said while there was no socket
    this.in_flight = []; // {text, end}: handed to the socket, perhaps not sent yet
    this.handed = 0;
    this.retry_ms = FIRST_RETRY_MS;
  }

  open() {
    if (this.phase !== "closed") return;
    this.forget();
    this.enter("connecting");
    this.connect();
  }

  close() {
    this.enter("closed");
    clearTimeout(this.timer);
    this.leave()?.close(1000);
    this.forget();
  }

  send(event) {
    const text = JSON.stringify(event);
    if (this.phase === "open") this.hand_over(text);
    else if (this.phase !== "closed") this.outbox = within_limit([...this.outbox, text]);
  }

  enter(phase, reason = "") {
    this.phase = phase;
    this.tell(phase, reason);
  }

  connect() {
    clearTimeout(this.timer);
    this.leave()?.close();
    const url = new URL(this.address, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    if (this.session_id) url.search = new URLSearchParams({ resume: this.session_id, after: this.last_event_id });
    const socket = new WebSocket(url);
    this.socket = socket;
    socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.closed(code, reason);
  }

  receive(event) {
    if (event.event_id) this.last_event_id = event.event_id;
    if (event.type === "raydio.session") this.welcomed(event);
    this.heard(event);
  }

  welcomed({ session_id, resumed }) {
    this.session_id = session_id;
    this.retry_ms = FIRST_RETRY_MS;
    // What was meant for the items and answers of an old session means nothing to a new one.
    const waiting = this.outbox.filter((text) => resumed || FOR_ANY_SESSION.test(text));
    this.outbox = [];
    this.enter("open");
    for (const first of this.greet(resumed, waiting)) this.send(first);
    for (const text of waiting) this.hand_over(text);
  }

  hand_over(text) {
    const { socket } = this;
    const left = this.handed - socket.bufferedAmount;
    this.in_flight = this.in_flight.filter(({ end }) => end > left);
    if (!socket.bufferedAmount) this.flowed_ms = performance.now();
    if (performance.now() - this.flowed_ms > STUCK_MS) { this.drop(); this.outbox.push(text); return; }
    socket.send(text);
    this.handed += is_audio(text) ? text.length : new Blob([text]).size;
    this.in_flight.push({ text, end: this.handed });
  }

  // The browser has not noticed yet, but nobody is there any more.
  drop() {
    const socket = this.leave();
    this.closed(1006, "", socket);
    socket?.close();
  }

  closed(code, reason, socket = this.socket) {
    this.leave();
    const left = this.handed - (socket?.bufferedAmount ?? 0);
    this.outbox = within_limit([...this.in_flight.filter(({ end }) => end > left).map(({ text }) => text), ...this.outbox]);
    this.in_flight = [];
    this.handed = 0;
    if (FINAL.includes(code)) { this.enter("closed", reason || `The server closed the conversation (${code}).`); return; }
    if (code === GONE) this.session_id = this.last_event_id = "";
    if (this.phase !== "reconnecting") this.enter("reconnecting");
    this.timer = setTimeout(() => this.connect(), code === GONE ? 0 : this.retry_ms);
    this.retry_ms = Math.min(LAST_RETRY_MS, this.retry_ms * 2);
  }

  // Part with the socket: what it still has to say is not heard.
  leave() {
    const { socket } = this;
    if (socket) socket.onmessage = socket.onclose = null;
    this.socket = null;
    return socket;
  }
}

const APPEND = '{"type":"input_audio_buffer.append","audio":"';
const FOR_ANY_SESSION = /^\{"type":"(input_audio_buffer\.|response\.create|session\.update)/;
const is_audio = (text) => text.startsWith(APPEND);
const n_samples = (text) => (is_audio(text) ? Math.floor(((text.length - APPEND.length - 2) * 3) / 8) : 0);
// Drops the oldest sound over the limit, and never a word.
const within_limit = (texts) => {
  let bytes = texts.reduce((sum, text) => sum + (is_audio(text) ? text.length : 0), 0);
  return texts.filter((text) => {
    if (!is_audio(text) || bytes <= KEPT_AUDIO_MESSAGES_BYTES) return true;
    bytes -= text.length;
    return false;
  });
};
