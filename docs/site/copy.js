// SPDX-License-Identifier: MIT
// A button at each block of code that copies it.
document.addEventListener("DOMContentLoaded", () => {
  for (const block of document.querySelectorAll("div.fragment, pre.fragment")) {
    const lines = block.querySelectorAll("div.line");
    const text = lines.length ? [...lines].map((line) => line.textContent).join("\n") : block.textContent;
    const button = document.createElement("button");
    button.className = "copy";
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not allowed";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    // Beside the code and not in it: it stays where it is while the code is scrolled.
    const frame = document.createElement("div");
    frame.className = "copyable";
    block.replaceWith(frame);
    frame.append(block, button);
  }
});
