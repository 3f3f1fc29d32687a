// The keys, in a dialog of their own.

import { byId, make } from "./elements.js";
import { sayings } from "./words.js";

export function bindHelp() {
  const dialog = byId("help-dialog");
  byId("keys").append(...sayings("keys").map(([keys, text]) => make("div", {},
    make("dt", {}, ...keys.split(" ").map((text_) => make("kbd", { text: text_ }))),
    make("dd", { text }))));
  byId("ask-help").addEventListener("click", () => dialog.showModal());
  byId("help-close").addEventListener("click", () => dialog.close());
  addEventListener("keydown", (event) => {
    if (event.key !== "?" || document.querySelector("dialog[open]")) return;
    if (event.target.matches?.("input:not([type=range], [type=checkbox], [type=radio])")) return;
    event.preventDefault();
    dialog.showModal();
  });
}
