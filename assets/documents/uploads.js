// Uploads: a request a file, two at a time, each with its bar; a report of what failed stays until it is dismissed.
const AT_ONCE = 2;
const STEPS = {
  sending: "sending", waiting: "waiting", reading: "reading", transcribing: "writing down what is said",
  embedding: "finding its meaning", storing: "storing",
};
// How far along each step is: people watch one bar a file.
const REACHED = { sending: [0, 0.1], waiting: [0.1, 0.1], reading: [0.1, 0.3], transcribing: [0.1, 0.6], embedding: [0.3, 0.95], storing: [0.95, 1] };

class Uploads {
  constructor({ limit_bytes, changed }) {
    Object.assign(this, { limit_bytes, changed });
    this.waiting = [];
    this.running = new Set();
    this.clear_counts();
    this.failed = [];
    this.mismatch = "";
    window.addEventListener("beforeunload", (event) => { if (this.busy) event.preventDefault(); });
  }

  get busy() { return this.running.size + this.waiting.length > 0; }

  clear_counts() { Object.assign(this, { n_all: 0, n_over: 0, n_added: 0, n_skipped: 0 }); }

  // files: [{name, file}] or [{name, url}]
  add(collection_id, files) {
    if (!this.busy) this.clear_counts();
    for (const given of files) {
      this.n_all += 1;
      if (given.file?.size > this.limit_bytes) this.fail(given.name, `It is larger than ${size(this.limit_bytes)}, the limit here.`, "too_large");
      else this.waiting.push({ ...given, collection_id });
    }
    this.next();
  }

  next() {
    while (this.running.size < AT_ONCE && this.waiting.length) this.start(this.waiting.shift());
    this.draw();
  }

  start(job) {
    job.row = this.row(job);
    this.running.add(job);
    const form = new FormData();
    if (job.url) form.append("urls", job.url);
    else form.append("files", job.file, job.name);
    const { done, cancel } = stream(`collections/${encodeURIComponent(job.collection_id)}/documents`, form, {
      on_sent: (share) => this.show(job, { name: job.name, step: "sending", done: share }),
      on_event: (event) => this.take(job, event),
    });
    job.cancel = cancel;
    done
      .catch((error) => { if (error.code !== "cancelled") this.fail(job.name, error.message, error.code); })
      .finally(() => this.end(job));
  }

  take(job, event) {
    const kind = event.type;
    if (event.error) this.fail(job.name, event.error.message, event.error.code);
    else if (kind === "file_progress") this.show(job, event);
    else if (kind === "file_failed") this.fail(event.name, event.message, event.code);
    else if (kind === "file_skipped") this.n_skipped += 1;
    else if (kind === "file_added") { this.n_added += 1; this.changed(job.collection_id); }
  }

  fail(name, message, code) {
    this.failed.push({ name, message });
    if (code === "embedding_mismatch") this.mismatch = message;
    say_aloud(`${name}: ${message}`);
    this.draw();
  }

  end(job) {
    this.running.delete(job);
    this.n_over += 1;
    job.row.remove();
    this.next();
    if (!this.busy) {
      say_aloud(this.summary());
      this.changed(job.collection_id);
    }
  }

  cancel(job) {
    job.cancel();
    say_aloud(`${job.name} cancelled`);
  }

  cancel_all() {
    this.n_all -= this.waiting.length;
    this.waiting = [];
    for (const job of [...this.running]) job.cancel();
  }

  row(job) {
    const row = make("li"), name = make("span", "ray-docs-name", job.name), step = make("span", "ray-docs-step");
    name.dir = "auto";
    const bar = make("progress");
    Object.assign(bar, { max: 1, value: 0 });
    bar.setAttribute("aria-label", `Progress of ${job.name}`);
    row.append(name, step, bar, action("Cancel", () => this.cancel(job), { name: `Cancel ${job.name}` }));
    find(".ray-docs-work ul").append(row);
    return row;
  }

  show({ row, name: job_name }, { name, step, done, index = 0, n_files = 1 }) {
    const [from, to] = REACHED[step] ?? [0, 1];
    const share = (index + from + (to - from) * done) / Math.max(n_files, 1);
    row.querySelector("progress").value = share;
    row.dataset.step = step;
    const which = n_files > 1 ? `${index + 1} of ${n_files}: ${name}, ` : "";
    row.querySelector(".ray-docs-step").textContent = `${which}${STEPS[step] ?? step}${name === job_name || n_files > 1 ? "" : ` ${name}`}`;
  }

  summary() {
    const parts = [count(this.n_added, "document") + " added"];
    if (this.n_skipped) parts.push(`${this.n_skipped} unchanged`);
    if (this.failed.length) parts.push(`${this.failed.length} failed`);
    return `${parts.join(", ")}.`;
  }

  draw() {
    find(".ray-docs-work").hidden = !this.busy;
    find(".ray-docs-work-title").textContent = this.n_all > 1 ? `${this.n_over + 1 > this.n_all ? this.n_all : this.n_over + 1} of ${this.n_all} files` : "Adding";
    this.draw_report();
  }

  // What failed and why, and what was the same already.
  draw_report() {
    const report = find(".ray-docs-report"), over = !this.busy && this.n_added + this.n_skipped > 0;
    report.hidden = !this.failed.length && !over;
    const list = make("ul");
    for (const { name, message } of this.failed) {
      const item = make("li"), title = make("b", "", name);
      title.dir = "auto";
      item.append(title, make("span", "", message));
      list.append(item);
    }
    const dismiss = action("Dismiss", () => { this.failed = []; this.mismatch = ""; this.clear_counts(); this.draw(); });
    const head = make("div", "ray-docs-row");
    head.append(make("b", "", this.failed.length ? this.summary() : `✓ ${this.summary()}`), dismiss);
    report.replaceChildren(head, ...(this.failed.length ? [list] : []));
    report.dataset.failed = String(this.failed.length > 0);
  }
}

// What was dropped: files, and the files in folders, by their paths.
const dropped_files = async (transfer) => {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return named_files(transfer.files);
  return (await Promise.all(entries.map(files_in))).flat();
};
const named_files = (files) => [...files].map((file) => ({ name: file.webkitRelativePath || file.name, file }));
const files_in = async (entry) => {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ name: entry.fullPath.replace(/^\//, ""), file }];
  }
  const reader = entry.createReader(), inside = [];
  for (;;) { // a folder tells a hundred at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    inside.push(...some);
  }
  return (await Promise.all(inside.map(files_in))).flat();
};
