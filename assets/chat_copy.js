() => {
  // Gradio copies a message with everything under it, as source: leave out the numbers and their bars,
  // and the marks that ui/markup.py put in, so that a copy is what the model wrote.
  const clipboard = navigator.clipboard;
  if (!clipboard) return; // no HTTPS: Gradio does without it, too
  const write = clipboard.writeText.bind(clipboard);
  const numbers = /(\n\nassistant: |\n[^\n]*\n\s*)<ul class="ray-fall"[^]*?<\/ul>\n?/g;
  clipboard.writeText = (text) => write(text.replace(numbers, "").replace(/([<!])\u200b/g, "$1"));
}
