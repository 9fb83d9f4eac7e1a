// Home: keeps the table of applications fresh, fills in this machine's address, copies snippets.
const base = `${location.origin}${location.pathname.replace(/\/ui(\/.*)?$/, "")}/v1`;
element.querySelector(".ray-base").textContent = base;
for (const code of element.querySelectorAll("[data-template]")) {
  code.textContent = code.dataset.template.replaceAll("BASE", base);
}

element.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const code = button.closest(".ray-code").querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    // No clipboard without HTTPS or permission: select it, so that Ctrl-C works.
    window.getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});

const SOON_MS = 1500, LATER_MS = 15000;
const box = element.querySelector(".ray-table");
let last = "", timer = 0;
const put = (html) => {
  if (html === last) return;
  last = html;
  box.innerHTML = html; // escaped by ui/home.py
};
const look = async () => {
  clearTimeout(timer);
  if (document.hidden) return;
  let well = false;
  try {
    const seen = await server.overview();
    well = seen.well;
    put(seen.html);
  } catch {
    put('<p class="ray-quiet">Raydio does not answer. It may be restarting; this page keeps asking.</p>');
  }
  timer = setTimeout(look, well ? LATER_MS : SOON_MS);
};
document.addEventListener("visibilitychange", look);
look();
