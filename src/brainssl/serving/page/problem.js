// One clear line for what went wrong, and a way to try again.

import { byId } from "./elements.js";
import { say } from "./words.js";

export function bindProblem() {
  const box = byId("problem");
  let again = null;
  const show = (text, retry = null) => {
    again = retry;
    byId("problem-text").textContent = text;
    byId("retry").hidden = !retry;
    byId("dismiss").hidden = false;
    box.hidden = false;
  };
  const hide = () => { box.hidden = true; };
  byId("dismiss").addEventListener("click", hide);
  byId("retry").addEventListener("click", () => {
    hide();
    again?.();
  });
  // While the service is busy: how long it is waited for, which cannot be dismissed.
  const waits = (seconds) => {
    if (!seconds) {
      hide();
      return;
    }
    show(say("fault_wait", { seconds }));
    byId("dismiss").hidden = true;
  };
  return { show, hide, waits };
}
