// One clear line for what went wrong, and a way to try again.

import { byId } from "./elements.js";
import { say } from "./words.js";

export function bindProblem() {
  const box = byId("problem");
  let again = null;
  let waiting = 0; // requests that wait for a service that is busy
  let told = false; // something that is to be read, not only that it is busy
  const show = (text, retry = null) => {
    again = retry;
    told = true;
    fill(text, { retry: Boolean(retry), dismiss: true });
  };
  const fill = (text, { retry, dismiss }) => {
    byId("problem-text").textContent = text;
    byId("retry").hidden = !retry;
    byId("dismiss").hidden = !dismiss;
    box.hidden = false;
  };
  const hide = () => {
    const focused = box.contains(document.activeElement);
    told = false;
    box.hidden = true;
    if (focused) [byId("canvas"), byId("choose")].find((one) => one.checkVisibility())?.focus();
  };
  byId("dismiss").addEventListener("click", hide);
  byId("retry").addEventListener("click", () => {
    hide();
    again?.();
  });
  // While the service is busy: how long it is waited for, which cannot be dismissed and stands
  // before nothing else.
  const waits = (seconds) => {
    waiting += seconds ? 1 : -1;
    if (told) return;
    if (!waiting) hide();
    else if (seconds) fill(say("fault_wait", { seconds }), { retry: false, dismiss: false });
  };
  return { show, hide, waits };
}
