// A document's page: colours as the site's, the passage in view, the picture of a PDF's page, the sound of a recording.
const kept = (() => { try { return localStorage.getItem("raydio-theme"); } catch { return null; } })();
if (["light", "dark"].includes(kept) && !document.documentElement.dataset.theme) document.documentElement.dataset.theme = kept;

// The dialog around it has the title already.
if (window.parent !== window) document.documentElement.dataset.embedded = "";

const text = document.querySelector(".words"), sheet = document.querySelector(".sheet");
const to_passage = () => {
  const found = [...document.querySelectorAll("mark, .sheet i")].find((node) => node.offsetParent !== null);
  found?.scrollIntoView({ block: "center" });
};

// ---- the picture: drawn on demand, with the passage's rectangles in shares of its sides -----------------
const show = (what) => {
  for (const button of document.querySelectorAll(".switch button")) button.setAttribute("aria-pressed", String(button.dataset.show === what));
  document.querySelector(".picture").hidden = what !== "picture";
  text.hidden = what === "picture";
  to_passage();
};
const place_mark = ({ left, top, width, height }) => {
  const mark = document.createElement("i");
  for (const [name, share] of Object.entries({ left, top, width, height })) mark.style[name] = `${(100 * share).toFixed(3)}%`;
  return mark;
};
const draw = async () => {
  const answer = await fetch(location.href, { headers: { accept: "application/json" } });
  const { picture, problem } = await answer.json();
  if (!picture) throw new Error(problem ?? "The page could not be drawn.");
  sheet.style.aspectRatio = `${picture.width_px} / ${picture.height_px}`;
  const image = sheet.querySelector("img");
  image.src = picture.url;
  await image.decode();
  document.querySelector(".waiting").hidden = true;
  sheet.hidden = false;
  sheet.append(...picture.marks.map(place_mark));
  document.body.dataset.drawn = "true";
  to_passage();
};
if (sheet) {
  for (const button of document.querySelectorAll(".switch button")) button.addEventListener("click", () => show(button.dataset.show));
  show("picture");
  draw().catch((error) => {
    document.querySelector(".problem").textContent = error.message;
    show("text");
  });
}

// ---- the recording ---------------------------------------------------------------------------------
const sound = document.querySelector("audio");
const seek = (time_s) => { sound.currentTime = time_s; };
const rows = [...document.querySelectorAll("ol.times li")];
if (sound) {
  sound.addEventListener("loadedmetadata", () => seek(Number(sound.dataset.startS)), { once: true });
  sound.addEventListener("error", () => { sound.hidden = true; });
  sound.addEventListener("timeupdate", () => {
    const begun = rows.filter((row) => Number(row.firstElementChild.dataset.startS) <= sound.currentTime);
    for (const row of rows) row.ariaCurrent = String(row === begun.at(-1) && !sound.paused);
  });
  document.querySelector("ol.times")?.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button) { seek(Number(button.dataset.startS)); sound.play().catch(() => {}); }
  });
}
to_passage();
