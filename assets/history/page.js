// The address, the bar above the conversation, and the drawer that the list is on a narrow screen.
const bar = element.querySelector(".ray-chat-bar");
const in_address = () => new URLSearchParams(location.search).get("c") ?? "";
const write_address = (id, { replace = false } = {}) => {
  if (in_address() === id) return;
  const address = new URL(location.href);
  if (id) address.searchParams.set("c", id); else address.searchParams.delete("c");
  history[replace ? "replaceState" : "pushState"](null, "", address);
};
let n_asked = 0; // how often something else was to be shown

const open_chat = (id, { shown = null, replace = false, temporary = false } = {}) => {
  n_asked += 1;
  document.body.classList.toggle("ray-opening", Boolean(id) && id !== current());
  write_address(id, { replace });
  trigger("select", { id, shown, temporary, asked: n_asked });
};
const begin = () => {
  close_drawer();
  open_chat("", { temporary: Boolean(props.value?.temporary) });
  if (window.matchMedia("(pointer: fine)").matches) document.querySelector("#ray-box textarea")?.focus();
};

// What this tab shows has changed: Python said so.
const follow = () => {
  const shown = props.value;
  if (shown.asked !== n_asked) return; // a last word of what was left
  document.body.classList.remove("ray-opening");
  write_address(shown.id, { replace: in_address() !== "" && !shown.id });
  draw_bar();
  decorate_soon();
  if (shown.id && !item_of(shown.id) && !is_filtered()) {
    view.items.unshift({ ...shown, updated_s: Date.now() / 1000, pinned: false, folder: "", tags: [], excerpt: "" });
  }
  const item = item_of(shown.id);
  if (item) item.running = shown.running;
  draw();
  // Not while the first word is on its way.
  if (!shown.running) load(); else { clearTimeout(timer); timer = setTimeout(look_again, SOON_MS); }
};
const draw_bar = () => {
  const { title = "", temporary = false } = props.value ?? {};
  bar.querySelector(".ray-chat-name").textContent = temporary ? "Temporary chat: nothing is stored" : title;
  bar.querySelector(".ray-chat-temporary").setAttribute("aria-pressed", String(temporary));
  document.title = `${title || "Chat"} \u00b7 Raydio`;
};
watch("value", follow);
window.addEventListener("popstate", () => open_chat(in_address()));

// ---- the drawer ---------------------------------------------------------------------------------------
const narrow = window.matchMedia("(max-width: 899px)");
const back = element.querySelector(".ray-history-back"), opener = bar.querySelector(".ray-chat-open");
const is_drawn = () => panel.classList.contains("ray-drawn");
const draw_out = () => {
  panel.classList.add("ray-drawn");
  panel.setAttribute("role", "dialog");
  panel.setAttribute("aria-modal", "true");
  back.hidden = false;
  opener.setAttribute("aria-expanded", "true");
  part("new").focus();
  load();
};
const close_drawer = () => {
  if (!is_drawn()) return;
  panel.classList.remove("ray-drawn");
  panel.removeAttribute("role");
  panel.removeAttribute("aria-modal");
  back.hidden = true;
  opener.setAttribute("aria-expanded", "false");
  opener.focus();
};
opener.addEventListener("click", draw_out);
back.addEventListener("click", close_drawer);
part("close").addEventListener("click", close_drawer);
narrow.addEventListener("change", close_drawer);
panel.addEventListener("keydown", (event) => {
  if (!is_drawn()) return;
  if (event.key === "Escape") close_drawer();
  if (event.key !== "Tab") return;
  const stops = [...panel.querySelectorAll("a, button, input")]
    .filter((node) => node.tabIndex >= 0 && !node.disabled && node.offsetParent);
  const leaves = document.activeElement === (event.shiftKey ? stops[0] : stops.at(-1));
  if (!leaves) return;
  event.preventDefault();
  (event.shiftKey ? stops.at(-1) : stops[0]).focus();
});

part("new").addEventListener("click", begin);
bar.querySelector(".ray-chat-new").addEventListener("click", begin);
bar.querySelector(".ray-chat-temporary").addEventListener("click", ({ currentTarget }) => {
  open_chat("", { temporary: currentTarget.getAttribute("aria-pressed") !== "true" });
});
draw_bar();
load();
if (in_address()) open_chat(in_address());
