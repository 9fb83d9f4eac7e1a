(...values) => {
  // Back to the box after a click on a button; not on a phone, where that would open the keyboard.
  if (window.matchMedia("(pointer: fine)").matches) document.querySelector("#ray-box textarea")?.focus();
  return values;
}
