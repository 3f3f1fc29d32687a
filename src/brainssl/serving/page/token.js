// The token: asked for when the service wants it, and held in this variable alone.

import { byId } from "./elements.js";
import { say } from "./words.js";

let token = "";
let asking = null;

export const bearer = () => (token ? { Authorization: `Bearer ${token}` } : {});

// Ask once, whoever waits for it; true if there is one to try. `tried` is the one that was refused:
// while that was under way another may have been given.
export function askToken(tried) {
  if (token && token !== tried) return Promise.resolve(true);
  asking ??= ask(Boolean(tried)).finally(() => { asking = null; });
  return asking;
}

export const tokenInUse = () => token;

function ask(wrong) {
  const dialog = byId("token-dialog");
  const field = byId("token");
  byId("token-told").textContent = say(wrong ? "token_wrong" : "token_asked");
  field.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const ended = new AbortController();
    const { signal } = ended;
    const end = (given) => {
      ended.abort();
      token = given || token;
      field.value = "";
      dialog.close();
      resolve(Boolean(given));
    };
    byId("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      end(field.value);
    }, { signal });
    byId("token-cancel").addEventListener("click", () => end(""), { signal });
    dialog.addEventListener("cancel", () => end(""), { signal });
  });
}
