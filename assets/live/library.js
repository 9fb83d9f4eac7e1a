// The user's documents in a conversation: whether answers rest on them, in which collections, and links to passages.
const V1 = "../../v1/", LIBRARY_KEY = "raydio-voice-documents";
const PASSAGE = /^v1\/documents\/[\w-]{1,64}\/pages\/\d{1,9}(\?start=\d{1,9}&end=\d{1,9})?$/;
// From the page to a passage that a source names; empty when it names no place of ours.
const passage_address = ({ url }) => (PASSAGE.test(url ?? "") ? `../../${url}` : "");
const place_of = ({ title, headings = [], start_s }) => {
  const when = Number.isFinite(start_s) ? `at ${Math.floor(start_s / 60)}:${String(Math.floor(start_s % 60)).padStart(2, "0")}` : "";
  return [title || "Source", headings.join(" > "), when].filter(Boolean).join(" · ");
};

class Library {
  constructor(fold) {
    this.mode = fold.querySelector("[name=documents]");
    this.box = fold.querySelector(".ray-live-collections");
    this.collections = [];
    fold.addEventListener("change", ({ target }) => {
      if (target === this.mode || this.box.contains(target)) this.show();
    });
  }

  // For the session: nothing while there is nothing to look things up in.
  session() {
    if (this.mode.closest("label").hidden) return {};
    const unsearched = this.unsearched;
    const chosen = this.collections.map(({ id }) => id).filter((id) => !unsearched.includes(id));
    const mode = chosen.length ? this.mode.value : "no_documents";
    return { knowledge: { mode, collections: mode === "no_documents" ? [] : chosen } };
  }

  get unsearched() { return [...this.box.querySelectorAll("input:not(:checked)")].map(({ value }) => value); }

  async list() {
    try {
      const answer = await fetch(`${V1}collections`, { headers: { accept: "application/json" } });
      if (!answer.ok) return;
      this.collections = (await answer.json()).data.filter(({ n_documents }) => n_documents > 0);
    } catch { return; } // the header says what is wrong; a conversation needs no documents
    const kept = this.kept();
    this.box.replaceChildren(this.box.firstElementChild, ...this.collections.map((collection) => this.choice(collection, kept)));
    this.mode.value = kept.mode;
    this.mode.closest("label").hidden = !this.collections.length;
    this.show();
  }

  choice({ id, name }, { unsearched }) {
    const label = make("label"), input = make("input");
    Object.assign(input, { type: "checkbox", value: id, checked: !unsearched.includes(id) });
    label.append(input, make("span", "", name));
    return label;
  }

  kept() {
    try {
      const { mode, unsearched } = JSON.parse(localStorage.getItem(LIBRARY_KEY) ?? "{}") ?? {};
      const known = [...this.mode.options].some(({ value }) => value === mode);
      return { mode: known ? mode : "documents_first", unsearched: Array.isArray(unsearched) ? unsearched : [] };
    } catch { return { mode: "documents_first", unsearched: [] }; }
  }

  show() {
    this.box.hidden = this.collections.length < 2 || this.mode.value === "no_documents";
    const { mode: { value: mode }, unsearched } = this;
    try { localStorage.setItem(LIBRARY_KEY, JSON.stringify({ mode, unsearched })); } catch { /* private window: this tab only */ }
  }
}
