// Small parts of the panel. Names and texts of documents only ever become text nodes.
const make = (tag, class_name = "", text = "") => {
  const node = document.createElement(tag);
  if (class_name) node.className = class_name;
  if (text) node.textContent = text;
  return node;
};
const action = (label, act, { name = "", class_name = "ray-docs-small" } = {}) => {
  const node = make("button", class_name, label);
  node.type = "button";
  if (name) node.setAttribute("aria-label", name);
  node.addEventListener("click", act);
  return node;
};
const find = (selector) => element.querySelector(selector);

const count = (n, word) => `${n.toLocaleString()} ${word}${n === 1 ? "" : "s"}`;
const size = (bytes) => {
  const [value, unit] = bytes >= 2 ** 20 ? [bytes / 2 ** 20, "MB"] : [bytes / 1024, "KB"];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
};
const day = (unix_s) => new Date(unix_s * 1000).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });

// Draws a list anew and lets what did not change be: the focus stays, and so does a question or a field that is open.
const draw_list = (list, items, says, row_of) => {
  const before = new Map([...list.children].map((node) => [node.dataset.id, node]));
  const rows = items.map((item) => {
    const old = before.get(item.id), said = JSON.stringify(says(item));
    if (old && (is_asking(old) || old.dataset.says === said)) return old;
    const row = row_of(item);
    Object.assign(row.dataset, { id: item.id, says: said });
    return row;
  });
  const focused = [...list.children].find((node) => node.contains(document.activeElement));
  const nth = focused ? controls(focused).indexOf(document.activeElement) : -1;
  for (const node of [...list.children]) if (!rows.includes(node)) node.remove();
  rows.forEach((row, i) => { if (list.children[i] !== row) list.insertBefore(row, list.children[i] ?? null); });
  if (nth >= 0 && !focused.isConnected) controls(rows.find(({ dataset }) => dataset.id === focused.dataset.id))[nth]?.focus();
};
const is_asking = (row) => "asking" in row.dataset || row.querySelector("details[open]") !== null;
const controls = (row) => [...(row?.querySelectorAll("a, button, input, summary") ?? [])];
const ask_in_place = (node, box) => {
  Object.assign(box.dataset, { id: node.dataset.id, asking: "" });
  node.replaceWith(box);
};

// A question with its two answers, in place of `node`; gives it back when the answer is no, or `act(box, back)` failed.
const confirm_in_place = (node, question, yes, act) => {
  const box = make("div", "ray-docs-confirm");
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", question);
  const back = () => { box.replaceWith(node); node.querySelector("[data-act=delete], summary")?.focus(); };
  const keep = action("Keep", back);
  box.append(make("span", "", question), action(yes, () => act(box, back), { class_name: "ray-docs-danger" }), keep);
  box.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); back(); } });
  ask_in_place(node, box);
  keep.focus();
};

// A field in place of `node` for one line of text.
const edit_in_place = (node, { name, value, hint = "" }, save) => {
  const form = make("form", "ray-docs-edit"), field = make("input");
  Object.assign(field, { value, placeholder: hint, maxLength: 200 });
  field.setAttribute("aria-label", name);
  const back = () => { form.replaceWith(node); controls(node)[0]?.focus(); };
  const submit = make("button", "ray-docs-primary", "Save");
  form.append(field, submit, action("Cancel", back));
  form.addEventListener("submit", (event) => { event.preventDefault(); save(field.value.trim(), back); });
  form.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); back(); } });
  ask_in_place(node, form);
  field.focus();
  field.select();
};

const say_aloud = (text) => { find(".ray-docs-spoken").textContent = text; };
const complain = (text) => {
  const problem = find(".ray-docs-problem");
  problem.textContent = text;
  problem.hidden = !text;
};
// Runs what may fail; says in the panel why it did.
const tried = async (act) => {
  try {
    const done = await act();
    complain("");
    return done;
  } catch (error) {
    complain(error.message);
    return undefined;
  }
};
