// The documents of the collection that is open: what they are, their tags, and deleting them.
const MOST_ROWS = 200;
const KIND_WORDS = { markdown: "MD", text: "TXT", audio: "REC", code: "CODE" };

class List {
  constructor({ changed }) {
    this.changed = changed;
    this.documents = [];
    this.n_loads = 0; // an answer that was overtaken is old
    this.filter = find(".ray-docs-list input");
    this.filter.addEventListener("input", () => this.draw());
  }

  async load(collection) {
    this.collection = collection;
    const nth = ++this.n_loads, documents = await tried(() => api.documents(collection.id));
    if (!documents || nth !== this.n_loads) return;
    this.documents = documents;
    this.draw();
  }

  draw() {
    const wanted = this.filter.value.trim().toLowerCase();
    const shown = this.documents.filter(({ name, tags }) => [name, ...tags].some((text) => text.toLowerCase().includes(wanted)));
    find(".ray-docs-list h3").textContent = this.documents.length ? `${this.collection.name} (${this.documents.length})` : this.collection.name;
    this.filter.hidden = this.documents.length < 8;
    const says = (document) => [document, this.collection.readonly];
    draw_list(find(".ray-docs-list ul"), shown.slice(0, MOST_ROWS), says, (document) => this.row(document));
    const none = find(".ray-docs-none");
    none.hidden = shown.length > 0 && shown.length <= MOST_ROWS;
    none.textContent = shown.length > MOST_ROWS ? `And ${shown.length - MOST_ROWS} more: filter by name or tag.`
      : this.documents.length ? "None of them matches." : "Nothing here yet.";
  }

  row(document) {
    const row = make("li", "ray-docs-document"), about = make("div", "ray-docs-about");
    const badge = make("span", "ray-docs-kind", KIND_WORDS[document.kind] ?? document.kind.toUpperCase());
    badge.setAttribute("aria-hidden", "true");
    const name = make("a", "ray-source ray-docs-name", document.name);
    name.href = `${V1}documents/${encodeURIComponent(document.id)}/pages/1`;
    name.dir = "auto";
    const facts = [count(document.n_pages, "page"), count(document.n_passages, "passage"), size(document.size_bytes), day(document.added_s)];
    about.append(name, make("small", "", facts.join(" · ")), ...this.tags(document));
    const acts = make("div", "ray-docs-acts");
    if (!this.collection.readonly) acts.append(...this.actions(document, row));
    row.append(badge, about, acts);
    return row;
  }

  tags({ tags }) {
    if (!tags.length) return [];
    const list = make("span", "ray-docs-tags");
    list.append(...tags.map((tag) => make("span", "", tag)));
    return [list];
  }

  actions(document, row) {
    const remove = action("Delete", () => confirm_in_place(row, `Delete “${document.name}”?`, "Delete", (box, back) => this.remove(document, box, back)), { name: `Delete ${document.name}` });
    remove.dataset.act = "delete";
    const tag = action("Tags", () => edit_in_place(row, { name: `Tags of ${document.name}`, value: document.tags.join(", "), hint: "contract, 2024" }, (text, back) => this.tag(document, text, back)), { name: `Tags of ${document.name}` });
    return [tag, remove];
  }

  async tag(document, text, back) {
    const tags = [...new Set(text.split(",").map((word) => word.trim()).filter(Boolean))];
    const changed = await tried(() => api.tag(document.id, tags));
    back();
    if (changed) await this.load(this.collection);
  }

  async remove({ id }, box, back) {
    box.replaceChildren(make("span", "", "Deleting…"));
    const deleted = await tried(() => api.remove(id));
    if (!deleted) { back(); return; }
    tell_deleted(deleted);
    await this.changed();
  }
}

// What a deletion did, as it was counted.
const tell_deleted = ({ n_passages, n_remaining, n_vectors }) => {
  const told = find(".ray-docs-told");
  const left = Number.isFinite(n_vectors) ? ` The collection holds ${count(n_vectors, "vector")} now.` : "";
  told.textContent = `Deleted. ${n_remaining} of its ${count(n_passages, "vector")} remain.${left}`;
  told.hidden = false;
};
