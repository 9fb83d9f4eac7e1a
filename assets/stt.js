// Speech to text: a click on a time or a word plays from there, and the word being said is marked.
const player = () => element.querySelector("audio");
let words = [], marked = null;

function fresh() {
  if (!words.length || !words[0].isConnected) words = [...element.querySelectorAll("span[data-at]")];
  return words;
}

function wordAt(seconds) {
  const all = fresh();
  let low = 0, high = all.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (Number(all[middle].dataset.at) <= seconds) low = middle + 1; else high = middle;
  }
  return all[low - 1] ?? null;
}

element.addEventListener("click", (event) => {
  const from = event.target.closest("[data-at]");
  if (!from || !player()) return;
  player().currentTime = Number(from.dataset.at);
  player().play();
});

element.addEventListener("mouseover", (event) => {
  const { at, to } = event.target.dataset ?? {};
  if (at && to && !event.target.title) event.target.title = `${at} to ${to} s`;
});

// Media events do not bubble: they are caught on their way down.
element.addEventListener("timeupdate", () => {
  const now = wordAt(player().currentTime);
  if (now === marked) return;
  marked?.classList.remove("ray-now");
  now?.classList.add("ray-now");
  marked = now;
}, true);
