// The list: drawn from `view`, asked for again when something may have changed.
const row_of = (id) => part("list").querySelector(`.ray-chat-item[data-id="${CSS.escape(id)}"]`);
const next_to = (id) => {
  const at = view.items.findIndex((item) => item.id === id);
  return (view.items[at + 1] ?? view.items[at - 1])?.id ?? "";
};
const EMPTY = "Your conversations will be listed here.", NOTHING = "Nothing found.";

const draw = () => {
  if (view.editing) return;
  const list = part("list");
  const held = document.activeElement?.closest?.(".ray-chat-item");
  const held_part = held && [...held.querySelectorAll("a, button, input")].indexOf(document.activeElement);
  const back_to = view.refocus ?? held?.dataset.id;
  if (!item_of(view.focus)) view.focus = (item_of(current()) ?? view.items[0])?.id ?? "";
  list.replaceChildren(...groups().flatMap(([name, items]) => {
    const heading = make("h2", "ray-history-group", name);
    heading.dir = "auto";
    const lines = make("ul");
    lines.append(...items.map((item) => line(item, { filter })));
    return [heading, lines];
  }));
  if (!view.items.length) list.append(make("p", "ray-history-empty", is_filtered() ? NOTHING : EMPTY));
  part("next").hidden = !view.more;
  draw_filters();
  draw_many();
  if (back_to) {
    const row = row_of(back_to);
    const parts = row ? [...row.querySelectorAll("a, button, input")] : [];
    (view.refocus === undefined ? parts[held_part] : row?.querySelector("a"))?.focus();
  }
  delete view.refocus;
};

// ---- filters --------------------------------------------------------------------------------------
const is_filtered = () => Boolean(view.search || view.tag !== null || view.folder !== null);
const filter = (wanted) => { Object.assign(view, wanted); load(); };
const draw_filters = () => {
  const chosen = [["tag", view.tag], ["folder", view.folder]].filter(([, name]) => name !== null);
  const chips = chosen.map(([kind, name]) => {
    const chip = button("ray-chat-tag", `${name} \u00d7`, `Not only the ${kind} ${name}`, () => filter({ [kind]: null }));
    chip.dataset.kind = kind;
    return chip;
  });
  part("filters").replaceChildren(...chips);
  part("filters").hidden = !chips.length;
};

// ---- many at once -----------------------------------------------------------------------------------
const draw_many = () => {
  part("many").hidden = !view.selecting;
  part("count").textContent = `${view.selected.size} selected`;
  for (const name of ["export", "delete"]) part("many").querySelector(`[data-do=${name}]`).disabled = !view.selected.size;
};
const select_several = (selecting) => {
  view.selecting = selecting;
  view.selected.clear();
  draw();
};
const choose = (id, chosen) => {
  if (chosen) view.selected.add(id); else view.selected.delete(id);
  draw();
};
part("many").addEventListener("click", ({ target }) => {
  const act = {
    all: () => { view.items.forEach(({ id }) => view.selected.add(id)); draw(); },
    export: () => show_menu(target, FORMATS.map(([name, format]) => [name, () => exported([...view.selected], format)])),
    delete: ask_to_delete_many,
    done: () => select_several(false),
  }[target.dataset.do];
  act?.();
});

// ---- asking for it -------------------------------------------------------------------------------------
const SOON_MS = 2500, LATER_MS = 60000, TYPING_MS = 200;
let asked = 0, timer = 0;
const load = async () => {
  clearTimeout(timer);
  const mine = (asked += 1);
  const query = new URLSearchParams({ limit: view.limit });
  for (const name of ["search", "folder", "tag"]) if (view[name]) query.set(name, view[name]);
  const found = await tried(async () => (await call("GET", `/conversations?${query}`)).json());
  if (mine !== asked) return;
  if (found) {
    Object.assign(view, { items: found.data, more: found.has_more, folders: found.folders, tags: found.tags });
    draw();
  }
  timer = setTimeout(look_again, view.items.some((item) => item.running) ? SOON_MS : LATER_MS);
};
const look_again = () => { if (!document.hidden) load(); };
document.addEventListener("visibilitychange", look_again);
let typing = 0;
part("search").addEventListener("input", ({ target }) => {
  clearTimeout(typing);
  typing = setTimeout(() => filter({ search: target.value.trim(), limit: 50 }), TYPING_MS);
});
part("next").addEventListener("click", () => filter({ limit: Math.min(500, view.limit + 100) }));

// ---- hands ----------------------------------------------------------------------------------------------
const item_at = (node) => item_of(node.closest?.(".ray-chat-item")?.dataset.id ?? "");
part("list").addEventListener("click", (event) => {
  const item = item_at(event.target);
  if (!item || event.metaKey || event.ctrlKey || event.shiftKey) return;
  if (event.target.closest(".ray-chat-menu")) show_menu(event.target.closest(".ray-chat-menu"), menu_of(item));
  else if (event.target.closest(".ray-chat-choice")) choose(item.id, event.target.checked);
  else if (event.target.closest(".ray-chat-link")) {
    event.preventDefault();
    if (view.selecting) choose(item.id, !view.selected.has(item.id));
    else { close_drawer(); open_chat(item.id); }
  }
});
part("list").addEventListener("focusin", ({ target }) => {
  const item = item_at(target);
  if (!item || item.id === view.focus) return;
  for (const node of part("list").querySelectorAll("[tabindex='0']")) node.tabIndex = -1;
  view.focus = item.id;
  for (const node of row_of(item.id).querySelectorAll("a, .ray-chat-menu, .ray-chat-tags button")) node.tabIndex = 0;
});
const walk = (key) => {
  const links = [...part("list").querySelectorAll(".ray-chat-link")];
  const at = links.findIndex((link) => link === document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[key];
  if (to === undefined) return false;
  if (to < 0) part("search").focus(); else links[Math.min(to, links.length - 1)]?.focus();
  return true;
};
part("list").addEventListener("keydown", (event) => {
  const item = item_at(event.target);
  if (!item || !event.target.closest(".ray-chat-link")) return;
  const act = {
    Delete: () => ask_to_delete(item),
    F2: () => rename(item),
    ContextMenu: () => show_menu(row_of(item.id).querySelector(".ray-chat-menu"), menu_of(item)),
    " ": () => view.selecting && choose(item.id, !view.selected.has(item.id)),
  }[event.key];
  if (act) act();
  else if (!walk(event.key)) return;
  event.preventDefault();
});
part("search").addEventListener("keydown", (event) => {
  if (event.key !== "ArrowDown") return;
  event.preventDefault();
  part("list").querySelector(".ray-chat-link")?.focus();
});
