// Says how long the answer's first sound took, from letting go of the button (or sending a message) to hearing it.
const line = element.querySelector(".ray-voice-lag");
const player = document.querySelector(".ray-player");
new MutationObserver(() => {
  const seconds = Number(player.dataset.firstAudioMs) / 1000;
  line.textContent = `The answer was heard after ${seconds.toFixed(2)} s.`;
}).observe(player, { attributes: true, attributeFilter: ["data-first-audio-ms"] });
document.addEventListener("raydio-press", () => { line.textContent = ""; });
