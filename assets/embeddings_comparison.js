
// ---- what is compared: chosen in the columns and on the map; the heat map above draws it ----------------
const MOST = 40;
const section = element.querySelector(".ray-comparison");
const list = section.querySelector(".ray-chosen");
const state = section.querySelector("[role=status]");
let picked = [], turn = 0;

const chip = (passage) => {
  const item = document.createElement("li"), text = document.createElement("span"), remove = document.createElement("button");
  text.dir = "auto";
  text.textContent = `${passage.name}: ${passage.text}`;
  remove.type = "button"; remove.textContent = "×";
  remove.setAttribute("aria-label", `Take out ${passage.text.slice(0, 60)}`);
  remove.addEventListener("click", () => choose(passage));
  item.append(text, remove);
  return item;
};
const compare = async () => {
  const mine = turn += 1;
  figure.hidden = picked.length < 2;
  state.textContent = picked.length === 1 ? "Choose one more passage to compare it with." : "";
  if (picked.length < 2) return;
  let answer;
  try {
    answer = await server.compared(picked.map(({ document: id, index }) => ({ document: id, index })));
    if (!answer) throw new Error("no answer");
  } catch {
    answer = { error: "The page lost its server. Try again." };
  }
  if (mine !== turn) return;  // chosen again meanwhile
  if (answer.heat) load(answer.heat); else { figure.hidden = true; state.innerHTML = answer.error; }
};
const change = (passages) => {
  picked = passages;
  section.hidden = !picked.length;
  list.replaceChildren(...picked.map(chip));
  document.dispatchEvent(new CustomEvent("raydio:compared", { detail: { keys: picked.map((each) => each.key) } }));
  compare();
};
const choose = (passage) => {
  const others = picked.filter((each) => each.key !== passage.key);
  if (others.length < picked.length) change(others);
  else if (picked.length < MOST) change([...picked, passage]);
  else state.textContent = `${MOST} passages are as many as can be compared: take one out first.`;
};
document.addEventListener("raydio:compare", ({ detail }) => choose(detail));
section.querySelector("[data-do=clear]").addEventListener("click", () => change([]));
