// The frame: colours, skip link, health of the models. Gradio runs this once the header is in the page,
// with `element` (the header's block) and `server.health()` (the answer of ui/shell.py).
const header = element.querySelector(".ray-header");

// ---- colours: as the system, unless the button said otherwise -----------------------------------
const MODES = ["system", "light", "dark"];
const LABELS = { system: "as the system", light: "light", dark: "dark" };
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const kept = () => {
  try {
    const mode = localStorage.getItem("raydio-theme");
    return MODES.includes(mode) ? mode : "system";
  } catch { return "system"; }
};
const wanted = () => (kept() === "system" ? dark.matches : kept() === "dark");
const paint = () => {
  if (document.body.classList.contains("dark") !== wanted()) document.body.classList.toggle("dark", wanted());
  document.documentElement.style.colorScheme = wanted() ? "dark" : "light";
  const button = header.querySelector(".ray-theme");
  button.dataset.mode = kept();
  button.setAttribute("aria-label", `Colours: ${LABELS[kept()]}`);
  button.title = `Colours: ${LABELS[kept()]}`;
};
const chosenByAddress = new URL(window.location.href).searchParams.has("__theme");
if (!chosenByAddress) {
  // Gradio sets its own idea of the mode on load and when the system changes.
  new MutationObserver(paint).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  dark.addEventListener("change", paint);
  paint();
}
header.querySelector(".ray-theme").addEventListener("click", () => {
  const next = MODES[(MODES.indexOf(kept()) + 1) % MODES.length];
  try { localStorage.setItem("raydio-theme", next); } catch { /* private window: this tab only */ }
  paint();
});

// ---- on a phone the links scroll sideways: show the one that we are on -------------------------------
const here = header.querySelector("[aria-current=page]");
const links = header.querySelector("nav");
links.scrollLeft = here.getBoundingClientRect().left - links.getBoundingClientRect().left - 16;

// ---- skip link: moves the focus; following it would reload a page that has ?token= in its address -
element.querySelector(".ray-skip").addEventListener("click", (event) => {
  event.preventDefault();
  const main = document.getElementById("ray-main");
  main.setAttribute("tabindex", "-1");
  main.focus();
});

// ---- names: Gradio leaves the arrow of a folded line without one ------------------------------------
document.addEventListener("focusin", ({ target }) => {
  if (target.matches('button[aria-label=""]')) target.setAttribute("aria-label", "Show or hide details");
});

// ---- health: a light question, often while things come up, rarely when all is well, never when hidden
const SOON_MS = 2000, LATER_MS = 30000;
const WORDS = {
  fetching: "fetching its weights", starting: "loading", healthy: "ready", unhealthy: "unwell",
  failed: "failed", absent: "not running", unknown: "no answer",
};
const health = header.querySelector(".ray-health");
let spoken = "";
const line = (fact) => {
  const item = document.createElement("li");
  item.dataset.status = fact.status;
  const name = document.createElement("b");
  name.textContent = fact.stage;
  const why = fact.message ? `: ${fact.message}` : "";
  item.append(name, ` ${WORDS[fact.status] ?? fact.status}${why}`);
  return item;
};
const show = (facts) => {
  for (const fact of facts) {
    const dot = health.querySelector(`.ray-dot[data-stage="${CSS.escape(fact.stage)}"]`);
    if (dot) dot.dataset.status = fact.status;
  }
  health.querySelector(".ray-health-list").replaceChildren(...facts.map(line));
  const bad = facts.filter((fact) => fact.status !== "healthy");
  const summary = bad.length
    ? bad.map((fact) => `${fact.stage} ${WORDS[fact.status] ?? fact.status}`).join(", ")
    : "all models ready";
  health.querySelector("summary").setAttribute("aria-label", `Models: ${summary}`);
  health.querySelector(".ray-health-word").textContent = bad.length ? summary : "Ready";
  if (spoken && spoken !== summary) header.querySelector(".ray-spoken").textContent = summary;
  spoken = summary;
  return bad.length === 0;
};
const stages = [...element.querySelectorAll(".ray-dot")].map((dot) => dot.dataset.stage);
let timer = 0;
const ask = async () => {
  clearTimeout(timer);
  if (document.hidden) return;
  let well = false;
  try {
    well = show(await server.health());
  } catch {
    show(stages.map((stage) => ({ stage, status: "unknown", message: "Raydio does not answer." })));
  }
  timer = setTimeout(ask, well ? LATER_MS : SOON_MS);
};
if (health) {
  document.addEventListener("visibilitychange", ask);
  document.addEventListener("click", (event) => { if (!health.contains(event.target)) health.open = false; });
  health.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    health.open = false;
    health.querySelector("summary").focus();
  });
  ask();
}
