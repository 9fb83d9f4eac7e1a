// What takes a line's place for a moment: a field to write in, or a question to answer.
const close_editor = (node) => {
  view.editing = false;
  const id = node.closest(".ray-chat-item")?.dataset.id;
  node.remove();
  if (id) view.refocus ??= id;
  draw();
};
const editor = (item, label, value, { suggestions = [], save }) => {
  const host = row_of(item.id);
  if (!host) return;
  view.editing = true;
  const form = make("form", "ray-chat-editor");
  const field = make("input");
  field.value = value;
  field.maxLength = 200;
  field.setAttribute("aria-label", label);
  field.placeholder = label;
  field.dir = "auto";
  const list = make("datalist");
  list.id = "ray-chat-suggestions";
  list.append(...suggestions.map((text) => { const option = make("option"); option.value = text; return option; }));
  field.setAttribute("list", list.id);
  let over = false;
  const end = async (wanted) => {
    if (over) return;
    over = true;
    field.disabled = true;
    if (wanted && field.value.trim() !== value) await save(field.value.trim());
    close_editor(form);
    await load();
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); end(true); });
  field.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") end(false);
  });
  field.addEventListener("blur", () => end(true));
  form.append(field, list);
  host.append(form);
  field.focus();
  field.select();
};
const rename = (item) => editor(item, "Name of the conversation", item.title, {
  save: (title) => title && change(item.id, { title }),
});
const file_away = (item) => editor(item, "Folder, empty for none", item.folder, {
  suggestions: view.folders, save: (folder) => change(item.id, { folder }),
});
const label_it = (item) => editor(item, "Tags, with commas between them", item.tags.join(", "), {
  suggestions: view.tags,
  save: (text) => change(item.id, { tags: text.split(",").map((tag) => tag.trim()).filter(Boolean) }),
});

// A question in place: what it is about stays visible, and Escape means no.
const question = (host, text, yes, act) => {
  view.editing = true;
  const node = make("div", "ray-chat-question");
  node.setAttribute("role", "alertdialog");
  node.setAttribute("aria-label", text);
  const end = async (agreed) => {
    if (agreed) await act();
    close_editor(node);
    if (agreed) await load();
  };
  const no = button("", "Keep", "", () => end(false));
  const go = button("ray-danger", yes, "", () => end(true));
  node.append(make("p", "", text), no, go);
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    end(false);
  });
  host.append(node);
  go.focus();
};
const forget = async (ids) => {
  const next = next_to(ids[0]);
  const done = await tried(async () => (await call("POST", "/conversations/delete", { ids })).json());
  if (!done) return;
  say(`${count(done.n_deleted, "conversation")} deleted.`);
  ids.forEach((id) => view.selected.delete(id));
  view.items = view.items.filter((item) => !ids.includes(item.id));
  view.refocus = next;
  if (ids.includes(current())) open_chat("", { replace: true });
};
const ask_to_delete = (item) => {
  const host = row_of(item.id);
  if (host) question(host, `Delete “${item.title}” for good?`, "Delete", () => forget([item.id]));
};
const ask_to_delete_many = () => {
  const ids = [...view.selected];
  if (ids.length) question(part("many"), `Delete ${count(ids.length, "conversation")} for good?`, "Delete", () => forget(ids));
};
