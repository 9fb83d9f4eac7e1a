// Small parts of the page: elements, durations, the waterfall (ui/waterfall.py draws the same), shares of a list.
const make = (tag, class_name = "", text = "") => {
  const node = document.createElement(tag);
  if (class_name) node.className = class_name;
  if (text) node.textContent = text;
  return node;
};
const button = (class_name, label, act) => {
  const node = make("button", class_name, label);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
};

const milliseconds = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms.toFixed(ms >= 10 ? 0 : 1)} ms`);
// The smallest value that at least this share of the values does not exceed.
const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.max(0, Math.ceil(share * values.length) - 1)];

const SPAN_NAMES = {
  silence: "silence", queue: "waiting", transcript: "understanding", retrieval: "looking up", embed: "finding the meaning", search: "searching", rerank: "choosing passages",
  passages: "reading passages", "first token": "thinking",
  "first clause": "first phrase", "first audio": "first sound", answer: "writing", speech: "making speech",
};
const MIN_WIDTH_PERCENT = 0.75; // narrower bars could not be seen or hovered
const waterfall = (spans) => {
  const list = make("ul", "ray-fall");
  list.setAttribute("aria-label", "Where the time went");
  const [first_ms, end_ms] = [Math.min(0, ...spans.map((s) => s.start_ms)), Math.max(1, ...spans.map((s) => s.start_ms + s.duration_ms))];
  list.append(...spans.map((span) => fall_row(span, first_ms, end_ms - first_ms)));
  return list;
};
const fall_row = ({ name, start_ms, duration_ms }, first_ms, all_ms) => {
  const shown = SPAN_NAMES[name] ?? name;
  const row = make("li", /queue|wait|silence/.test(name) ? "ray-fall-row ray-fall-waits" : "ray-fall-row");
  row.title = `${shown}: from ${milliseconds(start_ms)} to ${milliseconds(start_ms + duration_ms)}`;
  row.dataset.span = name;
  const width = Math.min(100, Math.max(MIN_WIDTH_PERCENT, (100 * duration_ms) / all_ms));
  const bar = make("span", "ray-fall-bar");
  bar.style.left = `${Math.min(100 - width, (100 * (start_ms - first_ms)) / all_ms).toFixed(2)}%`;
  bar.style.width = `${width.toFixed(2)}%`;
  const track = make("span", "ray-fall-track");
  track.append(bar);
  row.append(make("span", "ray-fall-name", shown), track, make("span", "ray-fall-ms", milliseconds(duration_ms)));
  return row;
};

// The passages an answer rests on. A click opens them in the page's viewer (assets/sources.js).
const source_list = (sources) => {
  const list = make("ol", "ray-live-sources");
  list.setAttribute("aria-label", "Sources");
  for (const source of sources) {
    const item = list.appendChild(make("li")), href = passage_address(source);
    const name = item.appendChild(make(href ? "a" : "b", href ? "ray-source" : "", place_of(source)));
    if (href) Object.assign(name, { href, target: "_blank", rel: "noopener" });
    name.dir = "auto";
    if (Number.isFinite(source.score)) item.append(make("small", "", ` ${source.score.toFixed(2)}`));
    item.append(make("p", "", source.text));
  }
  return list;
};
