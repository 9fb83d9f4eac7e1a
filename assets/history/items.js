// What is listed, and how a line of it looks.
const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* private window */ } };
const view = {
  items: [], folders: [], tags: [], more: false, limit: 50,
  search: "", folder: null, tag: null,
  by_folder: kept("raydio-chats-by") === "folder",
  selecting: false, selected: new Set(),
  focus: "", // the line that Tab leads to
  editing: false, // an editor, a question or a menu is open: the list must not be drawn under it
};
const current = () => props.value?.id ?? "";
const item_of = (id) => view.items.find((item) => item.id === id);

const midnight = (at) => new Date(at.getFullYear(), at.getMonth(), at.getDate()).getTime();
const DAY_MS = 86400000;
const group_of = (item) => {
  if (item.pinned) return "Pinned";
  if (view.by_folder) return item.folder || "No folder";
  const days = Math.round((midnight(new Date()) - midnight(new Date(item.updated_s * 1000))) / DAY_MS);
  return days <= 0 ? "Today" : days === 1 ? "Yesterday" : days < 7 ? "This week" : "Older";
};
const FIRST = ["Pinned"], LAST = ["No folder"];
const place = ([name]) => (FIRST.includes(name) ? 0 : LAST.includes(name) ? 2 : 1);
const groups = () => {
  const found = new Map();
  for (const item of view.items) {
    const name = group_of(item);
    found.set(name, [...(found.get(name) ?? []), item]);
  }
  const listed = [...found];
  if (!view.by_folder) return listed;
  return listed.sort((a, b) => place(a) - place(b) || a[0].localeCompare(b[0]));
};

// The words that were searched for, marked.
const with_marks = (node, text) => {
  const words = view.search.split(/\s+/).filter(Boolean).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  if (!words.length) { node.textContent = text; return node; }
  const inside = new RegExp(`(${words.join("|")})`, "gi");
  node.append(...text.split(inside).map((piece, i) => (i % 2 ? make("mark", "", piece) : piece)));
  return node;
};

const link_of = (item) => {
  const link = make("a", "ray-chat-link");
  const address = new URL(location.href);
  address.searchParams.set("c", item.id);
  link.href = address.search;
  link.tabIndex = item.id === view.focus ? 0 : -1;
  if (item.id === current()) link.setAttribute("aria-current", "page");
  const title = with_marks(make("span", "ray-chat-title"), item.title || "New chat");
  title.dir = "auto";
  link.append(title);
  link.title = item.title;
  if (item.running) {
    const dot = make("span", "ray-chat-running");
    dot.setAttribute("role", "img");
    dot.setAttribute("aria-label", "An answer is being written");
    link.append(dot);
  }
  if (view.search && item.excerpt) {
    const excerpt = with_marks(make("span", "ray-chat-excerpt"), item.excerpt);
    excerpt.dir = "auto";
    link.append(excerpt);
  }
  return link;
};
const label_of = (kind, name, label, act) => {
  const tag = button(`ray-chat-${kind}`, name, label, act);
  tag.dir = "auto";
  tag.tabIndex = -1;
  return tag;
};
const choice_of = (item) => {
  const box = make("input", "ray-chat-choice");
  box.type = "checkbox";
  box.checked = view.selected.has(item.id);
  box.setAttribute("aria-label", `Select ${item.title}`);
  return box;
};
const line = (item, { filter }) => {
  const node = make("li", "ray-chat-item");
  node.dataset.id = item.id;
  if (view.selecting) node.append(choice_of(item));
  node.append(link_of(item));
  const menu = button("ray-chat-menu ray-history-icon", "\u22ef", `Options for ${item.title}`);
  menu.setAttribute("aria-haspopup", "menu");
  menu.setAttribute("aria-expanded", "false");
  menu.tabIndex = item.id === view.focus ? 0 : -1;
  node.append(menu);
  const labels = make("div", "ray-chat-tags");
  if (item.folder && !view.by_folder && view.folder === null) {
    const act = () => filter({ folder: item.folder });
    labels.append(label_of("folder", item.folder, `Only in the folder ${item.folder}`, act));
  }
  labels.append(...item.tags.filter((tag) => tag !== view.tag).map((tag) =>
    label_of("tag", tag, `Only with the tag ${tag}`, () => filter({ tag }))));
  if (labels.childElementCount) node.append(labels);
  return node;
};
