// The map: every line a point, likes close together. Gradio runs this once, with `element`, `props` and
// `watch`; `props.value` is ui/charts.py's picture. Texts only ever become text nodes or canvas text.
const canvas = element.querySelector("canvas");
const stage = element.querySelector(".ray-map-stage");
const tip = element.querySelector(".ray-tip");
const spoken = element.querySelector("[aria-live]");
const tools = element.querySelector(".ray-chart-tools");
const caption = element.querySelector(".ray-map-caption");
const context = canvas.getContext("2d");
// Told apart with the common kinds of colour blindness too; one set a background.
const COLOURS = {
  light: ["#0e7a72", "#c2571a", "#4a5fc1", "#a8326f", "#5e7d12", "#8a5a00", "#1780b5", "#6c6f73"],
  dark: ["#4fc9bb", "#f2995c", "#93a6ff", "#ee85b9", "#aacd55", "#e0b94c", "#6cc4f0", "#a9b2b5"],
};
const LABELLED = 60, MARGIN = 34, NEAR = 14, MOST_ZOOM = 60, RINGED = 5;
let data = null, view = { zoom: 1, x: 0, y: 0 }, at = -1, hits = [], places = [];

const isDark = () => document.body.classList.contains("dark");
const ink = (name) => getComputedStyle(element).getPropertyValue(name).trim();
const colour = (i) => COLOURS[isDark() ? "dark" : "light"][data.groups[i] % 8];
const short = (text, n) => (text.length > n ? `${text.slice(0, n - 1).trimEnd()}…` : text);

// ---- drawing ---------------------------------------------------------------------------------------
const fit = () => {
  const { clientWidth: width, clientHeight: height } = stage;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return [width, height];
};
const place = (width, height) => {
  const { box } = data;
  const scale = view.zoom;
  places = new Float32Array(data.xy.length);
  for (let i = 0; i < data.xy.length; i += 2) {
    const x = (data.xy[i] - box.left) / (box.right - box.left || 1);
    const y = (data.xy[i + 1] - box.low) / (box.high - box.low || 1);
    places[i] = width / 2 + ((x - 0.5) * (width - 2 * MARGIN)) * scale + view.x;
    places[i + 1] = height / 2 - ((y - 0.5) * (height - 2 * MARGIN)) * scale + view.y;
  }
};
const clashes = (spot, taken) => taken.some(
  (t) => spot.left < t.right && t.left < spot.right && spot.top < t.bottom && t.top < spot.bottom);
// A label goes above its point, else below, right or left of it, else nowhere.
const write = (text, x, y, radius, width, taken) => {
  const wide = context.measureText(text).width, off = radius + 5;
  for (const [left, base] of [[x - wide / 2, y - off], [x - wide / 2, y + off + 9], [x + off, y + 4], [x - off - wide, y + 4]]) {
    const inside = left < 4 ? 4 : left + wide > width - 4 ? width - wide - 4 : left;
    const spot = { left: inside, right: inside + wide, top: base - 11, bottom: base + 3 };
    if (clashes(spot, taken) || spot.bottom > stage.clientHeight) continue;
    taken.push(spot);
    context.strokeText(text, inside, base);
    context.fillText(text, inside, base);
    return;
  }
};
const dots = (radius) => data.lines.length > 2 * LABELLED ? [] : data.lines.map((_, i) => ({
  left: places[2 * i] - radius, right: places[2 * i] + radius, top: places[2 * i + 1] - radius, bottom: places[2 * i + 1] + radius,
}));
const name = (width, radius) => {
  context.font = `12px ${ink("--font") || "sans-serif"}`;
  context.lineJoin = "round";
  context.lineWidth = 4;
  context.strokeStyle = ink("--block-background-fill");
  const taken = dots(radius - 1);
  const most = taken.length + 80;
  const first = [at, ...hits].filter((i) => i >= 0);
  const rest = data.lines.length <= LABELLED || view.zoom > 6 ? data.lines.keys() : data.typical;
  for (const i of new Set([...first, ...data.typical, ...rest])) {
    const [x, y] = [places[2 * i], places[2 * i + 1]];
    if (x < 0 || x > width || y < 0 || y > stage.clientHeight || taken.length > most) continue;
    context.fillStyle = i === at ? ink("--body-text-color") : colour(i);
    write(short(data.lines[i], width < 420 ? 20 : 30), x, y, radius, width, taken);
  }
};
const ring = (i, radius, wide) => {
  context.beginPath();
  context.arc(places[2 * i], places[2 * i + 1], radius, 0, 2 * Math.PI);
  context.strokeStyle = ink("--body-text-color");
  context.lineWidth = wide;
  context.stroke();
};
const draw = () => {
  const [width, height] = fit();
  if (!data || !width) return;
  place(width, height);
  const n = data.lines.length;
  const radius = (n <= 100 ? 5 : n <= 1500 ? 3.5 : 2.2) * Math.min(1.6, Math.sqrt(Math.sqrt(view.zoom)));
  context.globalAlpha = n <= 100 ? 0.95 : n <= 1500 ? 0.75 : 0.55;
  for (let i = 0; i < n; i += 1) {
    context.fillStyle = colour(i);
    context.beginPath();
    context.arc(places[2 * i], places[2 * i + 1], radius, 0, 2 * Math.PI);
    context.fill();
  }
  context.globalAlpha = 1;
  for (const i of hits) ring(i, radius + 3, 1.5);
  name(width, radius);
  if (at >= 0) ring(at, radius + 3, 2.5);
};
let frame = 0;
const redraw = () => { cancelAnimationFrame(frame); frame = requestAnimationFrame(draw); };

// ---- pointing: hover, touch and arrow keys mean the same --------------------------------------------
const same = (i) => [...data.lines.keys()].filter(
  (j) => data.xy[2 * j] === data.xy[2 * i] && data.xy[2 * j + 1] === data.xy[2 * i + 1]);
const say = (i) => {
  const counts = new Map();
  for (const j of same(i)) counts.set(data.lines[j], (counts.get(data.lines[j]) ?? 0) + 1);
  const texts = [...counts].slice(0, 5).map(([text, n]) => (n > 1 ? `${text} ×${n}` : text));
  if (counts.size > 5) texts.push(`and ${counts.size - 5} more here`);
  return texts;
};
const showTip = (i) => {
  tip.replaceChildren(...say(i).map((text) => {
    const line = document.createElement("div");
    line.dir = "auto";
    line.textContent = text;
    return line;
  }));
  const where = document.createElement("small");
  where.textContent = `line ${i + 1}`;
  tip.append(where);
  tip.hidden = false;
  const [x, y] = [places[2 * i], places[2 * i + 1]];
  const left = Math.max(4, Math.min(x - tip.offsetWidth / 2, stage.clientWidth - tip.offsetWidth - 4));
  const above = y - tip.offsetHeight - 14;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 4 ? above : y + 16}px`;
};
const point = (i, { aloud = false, tell = true } = {}) => {
  if (!data || i === at) return;
  at = i;
  if (i < 0) tip.hidden = true; else { place(stage.clientWidth, stage.clientHeight); showTip(i); }
  if (aloud && i >= 0) spoken.textContent = `${say(i).join(", ")}, line ${i + 1}, group ${data.groups[i] + 1}`;
  if (tell) document.dispatchEvent(new CustomEvent("raydio:line", { detail: { of: data.of, index: i, from: "map" } }));
  redraw();
};
const nearest = (x, y, allowed) => {
  let best = -1, least = Infinity;
  for (let i = 0; i < data.lines.length; i += 1) {
    const [dx, dy] = [places[2 * i] - x, places[2 * i + 1] - y];
    const far = dx * dx + dy * dy;
    if (far < least && allowed(dx, dy, i)) [best, least] = [i, far];
  }
  return [best, Math.sqrt(least)];
};
const under = (event) => {
  const box = canvas.getBoundingClientRect();
  const [i, far] = nearest(event.clientX - box.left, event.clientY - box.top, () => true);
  return far <= NEAR ? i : -1;
};
const STEPS = {
  ArrowRight: (dx, dy) => dx > 0 && Math.abs(dy) <= dx, ArrowLeft: (dx, dy) => dx < 0 && Math.abs(dy) <= -dx,
  ArrowDown: (dx, dy) => dy > 0 && Math.abs(dx) <= dy, ArrowUp: (dx, dy) => dy < 0 && Math.abs(dx) <= -dy,
};
canvas.addEventListener("keydown", (event) => {
  if (!data) return;
  if (STEPS[event.key]) {
    event.preventDefault();
    const from = at < 0 ? data.typical[0] : at;
    const [to] = at < 0 ? [from] : nearest(places[2 * at], places[2 * at + 1], (dx, dy, i) => i !== at && STEPS[event.key](dx, dy));
    if (to >= 0) point(to, { aloud: true });
  } else if (event.key === "+" || event.key === "=") zoom(1.5);
  else if (event.key === "-") zoom(1 / 1.5);
  else if (event.key === "0") all();
  else if (event.key === "Escape") point(-1);
});
canvas.addEventListener("blur", () => point(-1));

// ---- moving -----------------------------------------------------------------------------------------
const zoom = (factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) => {
  const to = Math.min(MOST_ZOOM, Math.max(1, view.zoom * factor));
  const by = to / view.zoom;
  const [cx, cy] = [x - stage.clientWidth / 2, y - stage.clientHeight / 2];
  view = to === 1 ? { zoom: 1, x: 0, y: 0 } : { zoom: to, x: cx - (cx - view.x) * by, y: cy - (cy - view.y) * by };
  canvas.style.touchAction = view.zoom > 1 ? "none" : "pan-y";
  tip.hidden = true;
  redraw();
};
const all = () => { view = { zoom: 1, x: 0, y: 0 }; zoom(1); };
let held = null;
canvas.addEventListener("pointerdown", (event) => {
  if (!data) return;
  held = { x: event.clientX, y: event.clientY };
  if (view.zoom > 1) canvas.setPointerCapture(event.pointerId);
  if (event.pointerType !== "mouse") point(under(event));
});
canvas.addEventListener("pointermove", (event) => {
  if (!data) return;
  if (held && event.buttons && view.zoom > 1) {
    view = { ...view, x: view.x + event.clientX - held.x, y: view.y + event.clientY - held.y };
    held = { x: event.clientX, y: event.clientY };
    tip.hidden = true;
    redraw();
  } else if (event.pointerType === "mouse") point(under(event));
});
canvas.addEventListener("pointerup", () => { held = null; });
canvas.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") point(-1); });
canvas.addEventListener("dblclick", (event) => zoom(2, event.offsetX, event.offsetY));
canvas.addEventListener("wheel", (event) => {
  // Without a modifier the wheel scrolls the page: a chart must not trap it.
  if (!data || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 300), event.offsetX, event.offsetY);
}, { passive: false });
tools.addEventListener("click", (event) => {
  const what = event.target.closest("button")?.dataset.do;
  if (what === "in") zoom(1.6); else if (what === "out") zoom(1 / 1.6); else if (what === "all") all();
});

// ---- data -------------------------------------------------------------------------------------------
const bounds = (xy) => {
  const box = { left: Infinity, right: -Infinity, low: Infinity, high: -Infinity };
  for (let i = 0; i < xy.length; i += 2) {
    box.left = Math.min(box.left, xy[i]); box.right = Math.max(box.right, xy[i]);
    box.low = Math.min(box.low, xy[i + 1]); box.high = Math.max(box.high, xy[i + 1]);
  }
  return box;
};
const load = (value) => {
  if (!value?.lines) return;
  data = { ...value, box: bounds(value.xy) };
  at = -1; hits = []; view = { zoom: 1, x: 0, y: 0 };
  tip.hidden = true; tools.hidden = false; caption.hidden = false;
  element.querySelector(".ray-empty").hidden = true;
  const [n, groups] = [data.lines.length, data.typical.length];
  canvas.tabIndex = 0;
  canvas.setAttribute("aria-label",
    `Map of ${n} lines in ${groups} groups, around: ${data.typical.map((i) => data.lines[i]).join("; ")}. Arrow keys go from line to line.`);
  caption.textContent = groups > 1
    ? `${n.toLocaleString()} lines, ${groups} colours for what belongs together. Drag and zoom to look closer.`
    : `${n.toLocaleString()} ${n === 1 ? "line" : "lines"}.`;
  redraw();
  document.dispatchEvent(new CustomEvent("raydio:mapped", { detail: { of: data.of } }));
};
document.addEventListener("raydio:hits", ({ detail }) => {
  if (data && detail.of === data.of) { hits = detail.indices.slice(0, RINGED); redraw(); }
});
document.addEventListener("raydio:line", ({ detail }) => {
  if (data && detail.of === data.of && detail.from !== "map") point(detail.index, { tell: false });
});
new ResizeObserver(redraw).observe(stage);
new MutationObserver(redraw).observe(document.body, { attributes: true, attributeFilter: ["class"] });
watch("value", () => load(props.value));
load(props.value);
