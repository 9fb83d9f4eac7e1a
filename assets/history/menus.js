// Menus: arrows walk, Enter chooses, Escape and Tab leave; the focus goes back to the button.
let open_menu = null;
const close_menu = (back = true) => {
  if (!open_menu) return;
  const { node, opener } = open_menu;
  open_menu = null;
  view.editing = false;
  node.remove();
  opener.setAttribute("aria-expanded", "false");
  if (back) opener.focus();
};
const show_menu = (opener, entries) => {
  const again = open_menu?.opener === opener;
  close_menu();
  if (again) return;
  const node = make("div", "ray-chat-popup");
  node.setAttribute("role", "menu");
  for (const [name, act, kind = ""] of entries) {
    const entry = button(kind, name, "", () => { close_menu(); act(); });
    entry.setAttribute("role", "menuitem");
    entry.tabIndex = -1;
    node.append(entry);
  }
  panel.append(node);
  const at = opener.getBoundingClientRect(), { offsetWidth: width, offsetHeight: height } = node;
  node.style.left = `${Math.max(8, Math.min(at.right - width, innerWidth - width - 8))}px`;
  node.style.top = `${at.bottom + height + 8 > innerHeight ? Math.max(8, at.top - height - 4) : at.bottom + 4}px`;
  opener.setAttribute("aria-expanded", "true");
  open_menu = { node, opener };
  view.editing = true;
  node.addEventListener("keydown", (event) => walk_menu(event, [...node.children]));
  node.firstChild.focus();
};
const walk_menu = (event, entries) => {
  const at = entries.indexOf(document.activeElement), last = entries.length - 1;
  const to = { ArrowDown: at === last ? 0 : at + 1, ArrowUp: at ? at - 1 : last, Home: 0, End: last }[event.key];
  if (to !== undefined) entries[to].focus();
  else if (event.key === "Escape" || event.key === "Tab") close_menu();
  else return;
  event.preventDefault();
  event.stopPropagation();
};
document.addEventListener("pointerdown", ({ target }) => {
  if (open_menu && !open_menu.node.contains(target) && !open_menu.opener.contains(target)) close_menu(false);
});
panel.addEventListener("scroll", () => close_menu(false), true);

const FORMATS = [["Markdown", "markdown"], ["JSON", "json"], ["PDF", "pdf"]];
const menu_of = (item) => [
  ["Rename", () => rename(item)],
  [item.pinned ? "Unpin" : "Pin", async () => { await change(item.id, { pinned: !item.pinned }); await load(); }],
  ["Folder…", () => file_away(item)],
  ["Tags…", () => label_it(item)],
  ...FORMATS.map(([name, format]) => [`Export ${name}`, () => exported([item.id], format)]),
  ["Delete…", () => ask_to_delete(item), "ray-danger"],
];
const menu_of_all = () => [
  [view.by_folder ? "Group by date" : "Group by folder", () => {
    view.by_folder = !view.by_folder;
    keep("raydio-chats-by", view.by_folder ? "folder" : "date");
    draw();
  }],
  ["Select several", () => select_several(true)],
  ["Import…", () => part("file").click()],
  ["Export all", () => exported([], "json")],
  ["Export feedback", () => download("/feedback.jsonl")],
];
const import_file = async (file) => {
  say(`Importing ${file.name}…`);
  const done = await tried(async () => (await call("POST", "/conversations/import", file)).json());
  if (!done) return;
  const skipped = done.n_skipped ? `, ${done.n_skipped} skipped` : "";
  const problems = done.problems.length ? ` ${done.problems.join(" ")}` : "";
  say(`${count(done.n_conversations, "conversation")} with ${count(done.n_messages, "message")} imported${skipped}.${problems}`);
  await load();
};
part("file").addEventListener("change", ({ target }) => {
  if (target.files[0]) import_file(target.files[0]);
  target.value = "";
});
part("more").addEventListener("click", ({ currentTarget }) => show_menu(currentTarget, menu_of_all()));
