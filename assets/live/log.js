// The conversation on the page: its entries in order, what is said to screen readers, and the numbers over all turns.
const STICK_PX = 80; // closer to the end than this, the log follows what is new

class Log {
  constructor(root, replay) {
    this.root = root;
    this.replay = replay;
    this.list = root.querySelector(".ray-live-entries");
    this.scroller = root.querySelector(".ray-live-log");
    this.stats = root.querySelector(".ray-live-stats");
    this.spoken = root.querySelector(".ray-live-spoken");
    this.clear();
  }

  clear() {
    this.entries = new Map();
    this.list.replaceChildren();
    this.announced = new Set();
    this.count();
  }

  get(id) { return this.entries.get(id); }

  // The entry, made when it is new.
  entry(id, role) {
    if (!this.entries.has(id)) {
      const entry = new Entry(id, role, this.replay);
      entry.draw();
      this.entries.set(id, entry);
      this.follow_end(() => this.list.append(entry.node));
      this.count();
    }
    return this.entries.get(id);
  }

  remove(id) {
    this.get(id)?.node.remove();
    this.entries.delete(id);
    this.count();
  }

  // Whatever `change` does, who was at the end of the log stays there.
  follow_end(change) {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    const at_end = scrollHeight - scrollTop - clientHeight < STICK_PX;
    change();
    if (at_end) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  // Final words, once: what is still changing would be read out again and again.
  announce(entry) {
    if (!entry.text || this.announced.has(entry.id)) return;
    this.announced.add(entry.id);
    this.say_aloud(`${ROLES[entry.role]}: ${plain(entry.text)}`);
  }

  say_aloud(text) {
    this.spoken.append(make("p", "", text));
    while (this.spoken.childElementCount > 3) this.spoken.firstElementChild.remove();
  }

  // Something went wrong: said where it happened, or at the end of the log.
  problem(text) {
    const last = [...this.entries.values()].at(-1);
    if (last?.role === "problem" && last.text === text) return; // once is enough
    const entry = this.entry(`problem-${this.entries.size}-${Date.now()}`, "problem");
    this.follow_end(() => entry.say(text, { final: true }));
    this.say_aloud(text);
  }

  get answers() { return [...this.entries.values()].filter(({ role }) => role === "assistant"); }

  count() {
    const answers = this.answers;
    const waits_ms = answers.filter(({ to_speech }) => to_speech).map(({ heard_after_ms }) => heard_after_ms);
    this.root.dataset.turns = String(answers.length);
    this.root.toggleAttribute("data-empty", !this.entries.size);
    const facts = [["Turns", String(answers.length)]];
    if (waits_ms.length) {
      const [p50, p95] = [quantile(waits_ms, 0.5), quantile(waits_ms, 0.95)];
      Object.assign(this.root.dataset, { p50Ms: p50.toFixed(1), p95Ms: p95.toFixed(1) });
      facts.push(["Heard after", `${milliseconds(p50)} (p50), ${milliseconds(p95)} (p95)`]);
    }
    this.stats.hidden = !answers.length;
    this.stats.replaceChildren(...facts.map(([name, value]) => {
      const fact = make("div", "ray-stat");
      fact.append(make("dt", "", name), make("dd", "", value));
      return fact;
    }));
  }
}
