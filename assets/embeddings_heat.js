// The heat map: similarity of every line with every other. Gradio runs this once, with `element`, `props`
// and `watch`; `props.value` is ui/charts.py's heat. Texts only ever become text nodes or canvas text; the
// summary is HTML that the server made and escaped.
const figure = element.querySelector("figure");
const canvas = element.querySelector("canvas");
const stage = element.querySelector(".ray-heat-stage");
const tip = element.querySelector(".ray-tip");
const spoken = element.querySelector("[aria-live]");
const table = element.querySelector(".ray-heat-table");
const context = canvas.getContext("2d");
// From the background to the accent, light and dark: more alike is further from the page's own colour.
const RAMPS = {
  light: [[246, 248, 248], [190, 228, 222], [63, 179, 167], [13, 98, 92], [4, 39, 37]],
  dark: [[26, 33, 35], [18, 70, 67], [20, 130, 121], [95, 205, 192], [222, 250, 245]],
};
const NAMED_PX = 11, NUMBERED_PX = 27, LARGEST_PX = 52;
let data = null, order = [], side = 0, left = 0, at = null;

const isDark = () => document.body.classList.contains("dark");
const ink = (name) => getComputedStyle(element).getPropertyValue(name).trim();
const cosine = (row, column) => data.cosines[order[row] * order.length + order[column]] / 1000;
const shade = (value) => {
  const ramp = RAMPS[isDark() ? "dark" : "light"];
  const where = Math.max(0, Math.min(1, value)) * (ramp.length - 1);
  const low = Math.min(ramp.length - 2, Math.floor(where));
  return ramp[low].map((from, i) => Math.round(from + (ramp[low + 1][i] - from) * (where - low)));
};
const readable = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#0f1416" : "#ffffff");

// ---- drawing ---------------------------------------------------------------------------------------
const cut = (text, wide) => {
  if (context.measureText(text).width <= wide) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (context.measureText(`${text.slice(0, middle)}…`).width <= wide) low = middle; else high = middle - 1;
  }
  return `${text.slice(0, low).trimEnd()}…`;
};
const measure = () => {
  const [n, width] = [order.length, stage.clientWidth];
  left = Math.min(230, Math.round(width * 0.36));
  if ((width - left) / n < NAMED_PX) left = 0;  // names smaller than that cannot be read: more room for cells
  side = Math.max(2, Math.min(LARGEST_PX, (width - left - 1) / n));
  const ratio = window.devicePixelRatio || 1;
  const [wide, high] = [Math.ceil(left + side * n), Math.ceil(side * n)];
  canvas.style.width = `${wide}px`; canvas.style.height = `${high}px`;
  canvas.width = Math.round(wide * ratio); canvas.height = Math.round(high * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
};
const names = () => {
  const size = Math.min(12, side * 0.85);
  context.font = `${size}px ${ink("--font") || "sans-serif"}`;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (let row = 0; row < order.length; row += 1) {
    const lit = at && (at[0] === row || at[1] === row);
    context.fillStyle = ink(lit ? "--body-text-color" : "--body-text-color-subdued");
    context.fillText(cut(data.lines[order[row]], left - 10), left - 8, side * (row + 0.5));
  }
};
const number = (value, fill, x, y) => {
  context.fillStyle = readable(fill);
  context.fillText(value.toFixed(2).replace(/^(-?)0/, "$1"), x + side / 2, y + side / 2);
};
const draw = () => {
  if (!data || !stage.clientWidth) return;
  measure();
  const gap = side > 8 ? 1 : 0;
  if (left) names();
  context.font = `${Math.min(11, side * 0.36)}px ${ink("--font") || "sans-serif"}`;
  context.textAlign = "center"; context.textBaseline = "middle";
  for (let row = 0; row < order.length; row += 1) for (let column = 0; column < order.length; column += 1) {
    const value = cosine(row, column), fill = shade(value), x = left + column * side, y = row * side;
    context.fillStyle = `rgb(${fill})`;
    context.fillRect(x, y, side - gap + (gap ? 0 : 0.5), side - gap + (gap ? 0 : 0.5));
    if (side >= NUMBERED_PX) number(value, fill, x, y);
  }
  if (!at) return;
  context.strokeStyle = ink("--body-text-color"); context.lineWidth = 2;
  context.strokeRect(left + at[1] * side, at[0] * side, side - gap, side - gap);
};
let frame = 0;
const redraw = () => { cancelAnimationFrame(frame); frame = requestAnimationFrame(draw); };

// ---- pointing ---------------------------------------------------------------------------------------
const describe = ([row, column]) => [
  cosine(row, column).toFixed(2), data.lines[order[row]], ...(row === column ? [] : [data.lines[order[column]]]),
];
const point = (cell, { aloud = false, tell = true } = {}) => {
  if (String(cell) === String(at)) return;
  at = cell;
  tip.hidden = !cell;
  if (cell) {
    tip.replaceChildren(...describe(cell).map((text, i) => {
      const line = document.createElement(i ? "div" : "b");
      line.dir = "auto"; line.textContent = text;
      return line;
    }));
    const x = left + (cell[1] + 0.5) * side, above = cell[0] * side - tip.offsetHeight - 8;
    tip.style.left = `${Math.max(0, Math.min(x - tip.offsetWidth / 2, stage.clientWidth - tip.offsetWidth))}px`;
    tip.style.top = `${above > -60 ? above : (cell[0] + 1) * side + 8}px`;
    if (aloud) spoken.textContent = describe(cell).join(", ");
  }
  if (tell) document.dispatchEvent(new CustomEvent("raydio:line", {
    detail: { of: data.of, index: cell ? data.rows[order[cell[0]]] : -1, from: "heat" },
  }));
  redraw();
};
const under = (event) => {
  const box = canvas.getBoundingClientRect();
  const row = Math.floor((event.clientY - box.top) / side), column = Math.floor((event.clientX - box.left - left) / side);
  const n = order.length;
  if (row < 0 || row >= n || column >= n) return null;
  return [row, column < 0 ? row : column];  // over a name: that line with itself, in full
};
canvas.addEventListener("pointermove", (event) => { if (data && event.pointerType === "mouse") point(under(event)); });
canvas.addEventListener("pointerdown", (event) => { if (data) point(under(event)); });
canvas.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") point(null); });
canvas.addEventListener("blur", () => point(null));
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
canvas.addEventListener("keydown", (event) => {
  if (!data) return;
  if (event.key === "Escape") point(null);
  if (!STEPS[event.key]) return;
  event.preventDefault();
  const last = order.length - 1, [down, right] = STEPS[event.key];
  const [row, column] = at ?? [-down, -right];
  point([Math.max(0, Math.min(last, row + down)), Math.max(0, Math.min(last, column + right))], { aloud: true });
});

// ---- the same as a table, made when somebody opens it -----------------------------------------------
const cell = (kind, text, scope) => {
  const made = document.createElement(kind);
  made.textContent = text;
  if (scope) made.scope = scope;
  return made;
};
const tabulate = () => {
  const made = document.createElement("table"), head = made.createTHead().insertRow(), body = made.createTBody();
  head.append(cell("th", "Line", "col"), ...order.map((i) => cell("th", String(data.rows[i] + 1), "col")));
  for (let row = 0; row < order.length; row += 1) {
    const title = cell("th", `${data.rows[order[row]] + 1}. ${data.lines[order[row]]}`, "row");
    title.dir = "auto";
    body.insertRow().append(title, ...order.map((_, column) => cell("td", cosine(row, column).toFixed(2))));
  }
  table.lastElementChild.replaceChildren(made);
};
table.addEventListener("toggle", () => { if (table.open && data) tabulate(); });

// ---- data -------------------------------------------------------------------------------------------
const arrange = (how) => {
  order = how === "like" ? data.order : data.order.map((_, i) => i);
  for (const button of element.querySelectorAll("[data-order]")) button.setAttribute("aria-pressed", String(button.dataset.order === how));
  at = null; tip.hidden = true;
  if (table.open) tabulate();
  redraw();
};
element.querySelector(".ray-chart-tools").addEventListener("click", (event) => {
  const how = event.target.closest("button")?.dataset.order;
  if (how && data) arrange(how);
});
const load = (value) => {
  if (!value?.rows) return;
  data = value;
  figure.hidden = false;
  const n = data.rows.length;
  element.querySelector(".ray-heat-words").innerHTML = data.summary;
  element.querySelector("figcaption").textContent = n < data.n
    ? `The ${n} most typical of ${data.n.toLocaleString()} lines. 1 is the same meaning, 0 is nothing in common.`
    : "1 is the same meaning, 0 is nothing in common.";
  canvas.setAttribute("aria-label",
    `Similarity of ${n} lines with each other. Arrow keys go from pair to pair; the most alike are listed beside it, all in the table below.`);
  arrange("like");
};
document.addEventListener("raydio:line", ({ detail }) => {
  if (!data || detail.of !== data.of || detail.from === "heat") return;
  const row = order.findIndex((i) => data.rows[i] === detail.index);
  at = row < 0 ? null : [row, row];
  tip.hidden = true;
  redraw();
});
new ResizeObserver(redraw).observe(stage);
new MutationObserver(redraw).observe(document.body, { attributes: true, attributeFilter: ["class"] });
watch("value", () => load(props.value));
load(props.value);
