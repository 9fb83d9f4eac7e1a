// How answers use documents. Kept in this browser; an address like ?mode=documents_only&collections=…&method=bm25 presets it.
const KEY = "raydio-documents";
const STANDARD = { mode: "documents_first", method: "hybrid", rerank: true, n_passages: null, min_score: null };
const MEANS = {
  documents_first: "Answers rest on your documents where they say something, and cite them.",
  documents_only: "What your documents do not say is not answered.",
  no_documents: "The model answers by itself. Nothing is searched.",
};
const FIELDS = [
  { name: "method", label: "Find passages by", choices: [["hybrid", "Meaning and words"], ["dense", "Meaning"], ["bm25", "Words"]],
    why: "Meaning finds what is said in other words; words find names, numbers and rare terms. Both together miss least." },
  { name: "rerank", label: "Read them again before choosing", type: "checkbox",
    why: "A second model compares each passage with the question. Better order, some tens of milliseconds more." },
  { name: "n_passages", label: "Passages to read", type: "number", min: 1, max: 20, step: 1, hint: "automatic",
    why: "How many passages the model gets. Small models do better with few; more take longer to read." },
  { name: "min_score", label: "Lowest score", type: "number", step: 0.05, hint: "automatic",
    why: "Passages that fit worse are left out: the score of the second reading, or the likeness of meaning without it. The list under an answer shows scores." },
];

const kept_settings = () => {
  let stored = {};
  try { stored = JSON.parse(localStorage.getItem(KEY) ?? "{}") ?? {}; } catch { /* private window, or not ours */ }
  const lists = Object.fromEntries(["unsearched", "searched"].map((name) => [name, Array.isArray(stored[name]) ? stored[name] : []]));
  return { ...STANDARD, open: "", n_documents: 0, ...stored, ...lists };
};
const number_or_null = (text) => (text === null || text === "" || !Number.isFinite(Number(text)) ? null : Number(text));
// What the address asks for; null where it says nothing.
const asked_settings = () => {
  const query = new URL(location.href).searchParams, asked = {};
  if (query.get("mode") in MEANS) asked.mode = query.get("mode");
  if (FIELDS[0].choices.some(([id]) => id === query.get("method"))) asked.method = query.get("method");
  if (query.has("rerank")) asked.rerank = !["0", "false"].includes(query.get("rerank"));
  for (const [name, key] of [["n", "n_passages"], ["n_passages", "n_passages"], ["min_score", "min_score"]]) {
    if (query.has(name)) asked[key] = number_or_null(query.get(name));
  }
  const collections = [query.get("collections"), query.get("collection")].filter(Boolean).join(",").split(",").filter(Boolean);
  return { asked, collections };
};

class Search {
  constructor(kept, changed) {
    Object.assign(this, { kept, changed });
    find(".ray-docs-how > div").append(...FIELDS.map((field) => this.field(field)));
    for (const radio of element.querySelectorAll("[name=ray-docs-mode]")) radio.addEventListener("change", () => { this.kept.mode = radio.value; this.set(); });
    find("[data-act=standard]").addEventListener("click", () => { Object.assign(this.kept, STANDARD, { mode: this.kept.mode }); this.set(); });
    this.draw();
  }

  field({ name, label, choices, why, type, hint = "", ...limits }) {
    const row = make("div", "ray-docs-field"), title = make("label", "", label);
    const input = make(choices ? "select" : "input");
    input.id = `ray-docs-${name}`;
    title.htmlFor = input.id;
    Object.assign(input, { name, placeholder: hint, ...(type ? { type } : {}), ...limits });
    if (choices) input.append(...choices.map(([id, text]) => new Option(text, id)));
    const hint_text = make("p", "ray-docs-quiet", why);
    Object.assign(hint_text, { id: `${input.id}-why`, hidden: true });
    const ask = action("?", () => { hint_text.hidden = !hint_text.hidden; ask.setAttribute("aria-expanded", String(!hint_text.hidden)); }, { name: `What is “${label}”?`, class_name: "ray-docs-ask" });
    ask.setAttribute("aria-expanded", "false");
    input.setAttribute("aria-describedby", hint_text.id);
    input.addEventListener("change", () => {
      this.kept[name] = type === "checkbox" ? input.checked : type === "number" ? number_or_null(input.value) : input.value;
      this.set();
    });
    row.append(title, ask, input, hint_text);
    return row;
  }

  set() {
    this.draw();
    this.changed();
  }

  draw() {
    const { kept } = this;
    for (const radio of element.querySelectorAll("[name=ray-docs-mode]")) radio.checked = radio.value === kept.mode;
    find(".ray-docs-mode-means").textContent = MEANS[kept.mode];
    for (const { name, type } of FIELDS) {
      const input = find(`#ray-docs-${name}`);
      if (type === "checkbox") input.checked = kept[name];
      else input.value = kept[name] ?? "";
    }
  }
}
