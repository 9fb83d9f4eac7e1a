// The folded settings, as the protocol's session object.
const TALKING = { auto: "auto", low: "low", medium: "medium", high: "high" };

class Settings {
  constructor(fold, { changed, microphone_changed }) {
    this.fold = fold;
    this.field = (name) => fold.querySelector(`[name=${name}]`);
    fold.addEventListener("input", () => this.show());
    fold.addEventListener("change", ({ target }) => (target.name === "microphone" ? microphone_changed(target.value) : changed()));
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.list_microphones());
    this.library = new Library(fold);
    this.show();
  }

  get microphone() { return this.field("microphone").value; }

  session() {
    const patience = this.field("patience").value;
    const turn_detection = TALKING[patience]
      ? { type: "semantic_vad", eagerness: patience }
      : { type: "server_vad", silence_duration_ms: this.silence_ms() };
    return {
      type: "realtime",
      audio: {
        input: { turn_detection, transcription: { language: this.field("language").value || null } },
        output: { voice: this.field("voice").value, speed: Number(this.field("speed").value) },
      },
      raydio: { barge_in: { mode: this.field("interruption").value }, ...this.library.session() },
    };
  }

  silence_ms() {
    const { value, min, max } = this.field("silence");
    return Math.round(Math.max(Number(min), Math.min(Number(max), Number(value) || 500)));
  }

  show() {
    this.field("silence").closest("label").hidden = this.field("patience").value !== "fixed";
    this.fold.querySelector("output").textContent = Number(this.field("speed").value).toFixed(2);
  }

  // What the models can do.
  async list() {
    this.library.list();
    const { voices, languages } = await server.choices();
    this.fill("voice", voices.map(({ id, name }) => [id, name]));
    this.fill("language", languages.map((code) => [code, code]));
    this.field("language").closest("label").hidden = languages.length < 2;
  }

  // Browsers tell the names only once the microphone was allowed.
  async list_microphones() {
    const found = await Microphone.choices();
    this.fill("microphone", found.filter(({ label }) => label).map(({ deviceId, label }) => [deviceId, label]));
  }

  fill(name, choices) {
    const select = this.field(name), { value } = select;
    select.replaceChildren(select.options[0], ...choices.map(([id, label]) => new Option(label, id)));
    if (choices.some(([id]) => id === value)) select.value = value;
  }
}
