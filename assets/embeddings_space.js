// The map of a collection: every passage a point. Thousands of points stay on one canvas, what is pointed at is drawn
// on another above it, and a grid finds what is under the pointer. Texts only ever become text nodes or canvas text.
const find = (what) => element.querySelector(what);
const figure = find("figure"), stage = find(".ray-space-stage"), tip = find(".ray-tip"), spoken = find("div[aria-live]");
const [base, over] = element.querySelectorAll("canvas");
const [below, above] = [base.getContext("2d"), over.getContext("2d")];
const COLOURS = {
  light: ["#0e7a72", "#c2571a", "#4a5fc1", "#a8326f", "#5e7d12", "#8a5a00", "#1780b5", "#7a4fb5", "#b5474a", "#3c6b52"],
  dark: ["#4fc9bb", "#f2995c", "#93a6ff", "#ee85b9", "#aacd55", "#e0b94c", "#6cc4f0", "#c3a1f5", "#f29496", "#8fc9a8"],
};
const MARGIN = 26, NEAR = 12, CELL = 24, MOST_ZOOM = 60, LISTED = 60, ROWS = 100, NEAREST = 5;
let data = null, n = 0, view = { zoom: 1, x: 0, y: 0 }, at = -1, places = new Float32Array(0), grid = new Map();
let hidden = new Set(), ranks = [], hits = [], byKey = new Map(), matches = [], match = -1;

const isDark = () => document.body.classList.contains("dark");
const ink = (name) => getComputedStyle(element).getPropertyValue(name).trim();
const hue = (of) => (ranks[of] < 10 ? COLOURS[isDark() ? "dark" : "light"][ranks[of]] : ink("--ray-off") || "#8a9295");
const key = (i) => `${data.documents[data.of[i]].id}:${data.indices[i]}`;
const visible = (i) => !hidden.has(data.of[i]);
const short = (text, length) => (text.length > length ? `${text.slice(0, length - 1).trimEnd()}…` : text);
const send = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));
const made = (kind, text, attributes = {}) => {
  const node = document.createElement(kind);
  node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};

// ---- drawing ---------------------------------------------------------------------------------------
const fit = (canvas, context) => {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(stage.clientWidth * ratio); canvas.height = Math.round(stage.clientHeight * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
};
const place = () => {
  const [width, height] = [stage.clientWidth, stage.clientHeight], { box } = data;
  const wide = (width - 2 * MARGIN) / (box.right - box.left || 1), high = (height - 2 * MARGIN) / (box.high - box.low || 1);
  places = new Float32Array(2 * n); grid = new Map();
  for (let i = 0; i < n; i += 1) {
    const x = width / 2 + (data.xy[2 * i] - (box.left + box.right) / 2) * wide * view.zoom + view.x;
    const y = height / 2 - (data.xy[2 * i + 1] - (box.low + box.high) / 2) * high * view.zoom + view.y;
    places[2 * i] = x; places[2 * i + 1] = y;
    if (!visible(i) || x < -CELL || y < -CELL || x > width + CELL || y > height + CELL) continue;
    const cell = Math.floor(x / CELL) * 4096 + Math.floor(y / CELL);
    if (grid.has(cell)) grid.get(cell).push(i); else grid.set(cell, [i]);
  }
};
const size = () => (n <= 200 ? 4.5 : n <= 1500 ? 3.2 : 2.2) * Math.min(1.7, Math.sqrt(Math.sqrt(view.zoom)));
const write = (context, text, x, y) => {
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
};
const pen = (context, weight) => {
  context.font = `${weight} 12px ${ink("--font") || "sans-serif"}`;
  context.lineJoin = "round"; context.lineWidth = 4; context.textAlign = "center";
  context.strokeStyle = ink("--block-background-fill"); context.fillStyle = ink("--body-text-color");
};
const nameClusters = () => {
  pen(below, "600");
  const taken = [];
  data.clusters.forEach((text, label) => {
    const centre = data.centres[label];
    if (!text || !centre || !visible(centre)) return;
    const wide = below.measureText(text).width;
    const x = Math.max(wide / 2 + 4, Math.min(stage.clientWidth - wide / 2 - 4, places[2 * centre])), y = places[2 * centre + 1];
    const spot = { left: x - wide / 2, right: x + wide / 2, top: y - 12, bottom: y + 4 };
    const clash = taken.some((t) => spot.left < t.right && t.left < spot.right && spot.top < t.bottom && t.top < spot.bottom);
    if (clash || y < 0 || y > stage.clientHeight) return;
    taken.push(spot);
    write(below, text, x, y);
  });
};
const drawPoints = () => {
  if (!data || !stage.clientWidth) return;
  fit(base, below); place();
  const radius = size();
  below.globalAlpha = n <= 1500 ? 0.8 : 0.6;
  const colours = data.documents.map((_, of) => hue(of));
  for (const cell of grid.values()) for (const i of cell) {
    below.fillStyle = colours[data.of[i]];
    below.beginPath();
    below.arc(places[2 * i], places[2 * i + 1], radius, 0, 2 * Math.PI);
    below.fill();
  }
  below.globalAlpha = 1;
  nameClusters();
  drawOver();
};
const ring = (i, radius, wide) => {
  above.beginPath();
  above.arc(places[2 * i], places[2 * i + 1], radius, 0, 2 * Math.PI);
  above.strokeStyle = ink("--body-text-color"); above.lineWidth = wide;
  above.stroke();
};
// The query has no place of its own in the plane: it stands among the passages nearest to it.
const drawQuery = () => {
  const near = hits.filter(([i, cosine]) => cosine > 0 && visible(i)).sort((a, b) => b[1] - a[1]).slice(0, NEAREST);
  const total = near.reduce((sum, [, cosine]) => sum + cosine, 0);
  if (!total) return;
  const mean = (axis) => near.reduce((sum, [i, cosine]) => sum + places[2 * i + axis] * cosine, 0) / total;
  const [x, y] = [mean(0), mean(1)];
  above.strokeStyle = ink("--body-text-color"); above.lineWidth = 1; above.setLineDash([3, 3]);
  for (const [i] of near) { above.beginPath(); above.moveTo(x, y); above.lineTo(places[2 * i], places[2 * i + 1]); above.stroke(); }
  above.setLineDash([]);
  above.fillStyle = ink("--body-text-color");
  above.save(); above.translate(x, y); above.rotate(Math.PI / 4); above.fillRect(-5, -5, 10, 10); above.restore();
  pen(above, "600");
  const text = short(data.query ?? "query", stage.clientWidth < 500 ? 24 : 40), wide = above.measureText(text).width / 2 + 6;
  const left = Math.max(wide, Math.min(stage.clientWidth - wide, x));
  above.fillRect(left - wide, y - 31, 2 * wide, 19);
  above.fillStyle = ink("--block-background-fill");
  above.fillText(text, left, y - 17);
};
const drawOver = () => {
  if (!data) return;
  fit(over, above);
  const radius = size();
  for (const i of matches) if (visible(i)) ring(i, radius + 2, 1);
  for (const [i] of hits) if (visible(i)) ring(i, radius + 3, 1.75);
  if (hits.length) drawQuery();
  if (at < 0) return;
  ring(at, radius + 4, 2.5);
};
let frame = 0;
const redraw = () => { cancelAnimationFrame(frame); frame = requestAnimationFrame(drawPoints); };
