// The collections: which are searched, which is open, and what is done to them.
class Collections {
  // chosen(): which of them are searched changed; opened(collection): another one is looked at.
  constructor({ kept, chosen, opened }) {
    Object.assign(this, { kept, chosen, opened });
    this.all = [];
    this.loaded = Promise.resolve();
    this.open = null;
    this.bring_to_life();
  }

  bring_to_life() {
    const form = find(".ray-docs-new"), begin = find("[data-act=new]");
    begin.addEventListener("click", () => { form.hidden = false; form.elements.name.focus(); });
    const end = () => { form.hidden = true; form.reset(); begin.focus(); };
    find("[data-act=not-new]").addEventListener("click", end);
    form.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); end(); } });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const made = await tried(() => api.create(form.elements.name.value.trim()));
      if (!made) return;
      end();
      await this.load(made.id);
    });
  }

  // One after the other: the answer that is drawn last was also asked for last.
  load(open_id) {
    this.loaded = this.loaded.then(() => this.load_now(open_id));
    return this.loaded;
  }

  async load_now(open_id = this.open?.id ?? this.kept.open) {
    const all = await tried(() => api.collections());
    if (!all) return;
    this.all = all;
    this.open = all.find(({ id }) => id === open_id) ?? all[0] ?? null;
    this.draw();
    this.chosen();
    if (this.open) this.opened(this.open);
  }

  get searched() { return this.all.filter(({ id }) => !this.kept.unsearched.includes(id)); }

  draw() {
    const says = (collection) => [collection, this.is_open(collection), this.searched.includes(collection)];
    draw_list(find(".ray-docs-collections > ul"), this.all, says, (collection) => this.row(collection));
    find(".ray-docs-into").textContent = this.open?.name ?? "";
    find(".ray-docs-drop").hidden = Boolean(this.open?.readonly);
  }

  is_open({ id }) { return id === this.open?.id; }

  row(collection) {
    const row = make("li"), pick = make("input"), name = make("button", "ray-docs-name", collection.name);
    pick.type = "checkbox";
    pick.checked = this.searched.includes(collection);
    pick.setAttribute("aria-label", `Search in ${collection.name}`);
    pick.addEventListener("change", () => this.search_in(collection, pick.checked));
    name.type = "button";
    name.dir = "auto";
    if (this.is_open(collection)) name.setAttribute("aria-current", "true");
    name.addEventListener("click", () => this.look_at(collection));
    const theirs = collection.readonly ? [`by ${collection.owner}`] : collection.shared ? ["shared"] : [];
    row.append(pick, name, make("small", "", [collection.n_documents, ...theirs].join(" · ")));
    if (!collection.readonly) row.append(this.menu(collection, row));
    return row;
  }

  menu(collection, row) {
    const fold = make("details", "ray-docs-menu"), summary = make("summary", "", "⋯"), acts = make("div");
    summary.setAttribute("aria-label", `What to do with ${collection.name}`);
    acts.append(
      action("Rename", () => edit_in_place(row, { name: "New name", value: collection.name }, async (name, back) => {
        back();
        if (name && name !== collection.name) await this.change(collection, { name });
      })),
      action(collection.shared ? "Stop sharing" : "Share with everybody", () => this.change(collection, { shared: !collection.shared })),
      action("Index again", () => reindex(collection, () => this.load())),
      action("Delete", () => confirm_in_place(row, `Delete “${collection.name}” with its ${count(collection.n_documents, "document")}?`, "Delete", (box, back) => this.drop(collection, box, back))),
    );
    fold.append(summary, acts);
    acts.addEventListener("click", () => { fold.open = false; });
    fold.addEventListener("toggle", () => { if (!fold.open) this.draw(); }); // what changed while it was open
    fold.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !fold.open) return;
      event.stopPropagation();
      fold.open = false;
      summary.focus();
    });
    return fold;
  }

  search_in({ id }, yes) {
    const others = this.kept.unsearched.filter((other) => other !== id);
    this.kept.unsearched = yes ? others : [...others, id];
    this.chosen();
  }

  look_at(collection) {
    this.open = collection;
    this.kept.open = collection.id;
    this.draw();
    this.opened(collection);
    find('.ray-docs-collections [aria-current="true"]').focus();
  }

  async change({ id }, change) { if (await tried(() => api.change(id, change))) await this.load(); }

  async drop({ id }, box, back) {
    box.replaceChildren(make("span", "", "Deleting…"));
    const deleted = await tried(() => api.drop(id));
    if (!deleted) { back(); return; }
    tell_deleted(deleted);
    await this.load();
  }
}

// New vectors for everything in a collection, made by the model that runs now.
const reindex = (collection, over) => {
  const report = find(".ray-docs-report"), bar = make("progress"), row = make("div", "ray-docs-row");
  Object.assign(bar, { max: 1, value: 0 });
  bar.setAttribute("aria-label", `Indexing ${collection.name} again`);
  let failure = "";
  const { done, cancel } = stream(`collections/${encodeURIComponent(collection.id)}/reindex`, null, {
    on_event: (event) => {
      if (event.type === "file_progress") bar.value = event.done;
      if (event.type === "file_failed" || event.error) failure = (event.error ?? event).message;
    },
  });
  row.append(make("b", "", `Indexing ${collection.name} again`), bar, action("Cancel", cancel));
  report.replaceChildren(row);
  report.hidden = false;
  const end = (text) => {
    const head = make("div", "ray-docs-row");
    head.append(make("b", "", text), action("Dismiss", () => { report.hidden = true; }));
    report.replaceChildren(head);
    say_aloud(text);
    over();
  };
  done.then(() => end(failure || `✓ ${collection.name} is indexed again.`)).catch((error) => end(error.code === "cancelled" ? "Cancelled: the old index stays." : error.message));
};
