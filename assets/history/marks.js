// Under the messages: which version of how many is shown, and what somebody thinks of an answer.
const MARKS = "ray-marks";
const said_by = (messages) => messages.reduce((groups, message) => {
  const last = groups.at(-1);
  if (last?.[0].role === message.role) last.push(message); else groups.push([message]);
  return groups;
}, []);
let wanted_focus = null;

const version = (message, step) => {
  const to = message.siblings[message.siblings.indexOf(message.id) + step];
  const name = step < 0 ? "Previous version" : "Next version";
  const node = button("", step < 0 ? "\u2039" : "\u203a", name, () => {
    wanted_focus = { after: message.id, name };
    open_chat(current(), { shown: to });
  });
  node.disabled = !to || props.value.running;
  return node;
};
const versions = (message) => {
  const node = make("span", "ray-versions");
  node.setAttribute("role", "group");
  const at = message.siblings.indexOf(message.id) + 1;
  node.setAttribute("aria-label", `Version ${at} of ${message.siblings.length}`);
  node.append(version(message, -1), make("span", "", `${at}/${message.siblings.length}`), version(message, 1));
  return node;
};

// ---- thumbs ---------------------------------------------------------------------------------------------
const opinion = element.querySelector(".ray-opinion");
const THUMBS = { up: "Good answer", down: "Bad answer" };
const HAND = "M5 7.5v6H2.5v-6H5Zm0 0 3-5.5c1.2 0 1.8.9 1.6 2L9.2 6.5h3.3c.9 0 1.4.8 1.2 1.6l-1.2 4.3c-.2.7-.7 1.1-1.4 1.1H5";
const hand = (turned) => {
  const SVG = "http://www.w3.org/2000/svg";
  const sign = document.createElementNS(SVG, "svg"), line = document.createElementNS(SVG, "path");
  const about = { viewBox: "0 0 16 16", fill: "none", stroke: "currentColor", "stroke-width": 1.3, "stroke-linejoin": "round", "aria-hidden": true };
  for (const [name, value] of Object.entries(about)) sign.setAttribute(name, value);
  line.setAttribute("d", HAND);
  if (turned) line.setAttribute("transform", "rotate(180 8 8)");
  sign.append(line);
  return sign;
};
const judge = async (message, thumb, comment) => {
  const done = await tried(() => call("PUT", `/messages/${encodeURIComponent(message.id)}/feedback`, { thumb, comment }));
  if (!done) return false;
  const judged = (other) => (other.id === message.id ? { ...other, thumb, comment } : other);
  props.value = { ...props.value, messages: props.value.messages.map(judged) };
  decorate();
  return true;
};
const press = async (message, thumb) => {
  if (message.thumb === thumb) { await judge(message, null, ""); return; }
  if (!(await judge(message, thumb, message.comment))) return;
  opinion.querySelector("h2").textContent = THUMBS[thumb];
  const field = opinion.querySelector("textarea");
  field.value = message.comment;
  opinion.returnValue = "";
  opinion.onclose = async () => {
    if (opinion.returnValue === "save") await judge(message, thumb, field.value.trim());
    document.querySelector(`.${MARKS}[data-of="${CSS.escape(message.id)}"] [data-thumb=${thumb}]`)?.focus();
  };
  opinion.showModal();
};
const thumbs = (message) => Object.entries(THUMBS).map(([thumb, name]) => {
  const node = button("ray-thumb", "", name, () => press(message, thumb));
  node.append(hand(thumb === "down"));
  node.dataset.thumb = thumb;
  node.setAttribute("aria-pressed", String(message.thumb === thumb));
  node.title = message.thumb === thumb && message.comment ? `${name}: ${message.comment}` : name;
  return node;
});

// ---- beside Gradio's own buttons, which it draws again whenever it likes ----------------------------------
const marks_of = (group) => {
  const node = make("div", MARKS);
  node.dataset.of = group.at(-1).id;
  node.append(...group.filter((message) => message.siblings.length > 1).map(versions));
  if (group[0].role === "assistant") node.append(...thumbs(group.at(-1)));
  return node;
};
const decorate = () => {
  const rows = [...document.querySelectorAll(".ray-log .message-row")];
  const all = said_by(props.value?.messages ?? []);
  rows.forEach((row, i) => {
    const tools = row.nextElementSibling;
    if (!tools?.classList.contains("message-buttons")) return;
    const old = tools.querySelector(`:scope > .${MARKS}`);
    const key = all[i] ? JSON.stringify([all[i], props.value.running]) : "";
    if ((old?.dataset.key ?? "") === key) return;
    old?.remove();
    if (!key) return;
    const node = marks_of(all[i]);
    node.dataset.key = key;
    if (node.childElementCount) tools.append(node);
  });
  focus_wanted();
};
const focus_wanted = () => {
  if (!wanted_focus || document.activeElement !== document.body) return;
  const message = (props.value?.messages ?? []).find(({ siblings }) => siblings.includes(wanted_focus.after));
  const group = message && said_by(props.value.messages).find((group) => group.includes(message));
  const node = group && document.querySelector(`.${MARKS}[data-of="${CSS.escape(group.at(-1).id)}"]`);
  const buttons = node ? [...node.querySelectorAll(".ray-versions button:not(:disabled)")] : [];
  (buttons.find((found) => found.getAttribute("aria-label") === wanted_focus.name) ?? buttons[0])?.focus();
  if (buttons.length) wanted_focus = null;
};
let drawn = 0;
const decorate_soon = () => { cancelAnimationFrame(drawn); drawn = requestAnimationFrame(decorate); };
new MutationObserver(decorate_soon).observe(document.getElementById("ray-main") ?? document.body, { childList: true, subtree: true });
