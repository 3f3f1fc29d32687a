// The page: its parts, and who hears of what.

import { showCard } from "./card.js";
import { byId } from "./elements.js";
import { Explanations } from "./explain.js";
import { isDicom, saveDicom, saveJson, savePicture } from "./exports.js";
import { bindFiles } from "./files.js";
import { bindHelp } from "./help.js";
import { bindOverlay } from "./overlay.js";
import { bindProblem } from "./problem.js";
import { OwnSlices } from "./own.js";
import { Queue } from "./queue.js";
import { reading } from "./reading.js";
import { showResults } from "./results.js";
import { ask, Fault } from "./service.js";
import { similarTo } from "./similar.js";
import { bindSlices } from "./slices.js";
import { Store } from "./store.js";
import { bindUploads } from "./upload.js";
import { Viewer } from "./viewer.js";
import { fillTexts, say } from "./words.js";

fillTexts(document);

const store = new Store();
const problem = bindProblem();
const status = (text) => { byId("status").textContent = text; };
const queue = new Queue(store, problem, status);
const viewer = new Viewer(byId("canvas"));
const ownSlices = new OwnSlices(store, problem.waits);
const explanations = new Explanations(problem.waits);
let shown = null; // slice that is told of
let looks = 0;

bindHelp();
bindFiles(store);
const overlay = bindOverlay(viewer, () => lookAt());
bindSlices(store, viewer, overlay);
bindUploads(async (files) => {
  store.add(files);
  if (await meet()) await queue.send();
});

store.addEventListener("entries", () => {
  const some = store.slices.length > 0;
  for (const id of ["save-json", "print"]) byId(id).disabled = !some;
  for (const part of document.querySelectorAll(".view, .results")) part.hidden = !some;
  if (!store.entries.length) for (const kept of [ownSlices, explanations]) kept.forget();
  if (store.slice !== shown) lookAt();
});
store.addEventListener("at", lookAt);

byId("save-json").addEventListener("click", () => {
  status(say("status_saved", { name: saveJson(store) }));
});
byId("save-png").addEventListener("click", async () => {
  status(say("status_saved", { name: await savePicture(store, viewer) }));
});
byId("save-dicom").addEventListener("click", async () => {
  try {
    const name = await saveDicom(store.slice, overlay.asked(), problem.waits);
    status(say("status_saved", { name }));
  } catch (fault) {
    problem.show(fault.message);
  }
});
byId("print").addEventListener("click", () => print());

// The model is asked once; without it nothing is sent.
async function meet() {
  if (store.model) return true;
  try {
    store.model = await ask("/model", null, problem.waits);
  } catch (fault) {
    problem.show(fault.message, async () => { if (await meet()) await queue.send(); });
    return false;
  }
  showCard(byId("card"), store.model);
  overlay.offer(store.model);
  return true;
}

// Show what is known of the slice at once, then the slice itself, then the map that is wanted.
async function lookAt() {
  const { slice } = store;
  const other = slice !== shown;
  looks += 1;
  const look = looks;
  shown = slice;
  byId("save-png").disabled = true;
  byId("save-dicom").disabled = !slice || !isDicom(slice);
  const jump = (to) => store.goToSlice(to);
  const tell = (cases) => showResults(byId("said"), store, jump, cases);
  if (other) {
    tell(null);
    viewer.show(null); // a slice never stands beside what was said of another
  }
  if (!slice) return;
  if (other && store.model.knows.neighbours && !reading(slice.said).cases.length) {
    similarTo(slice, (cases) => { if (store.slice === slice) tell(cases); });
  }
  const { method, label } = overlay.asked();
  try {
    const own = await ownSlices.of(slice);
    if (look !== looks) return;
    if (viewer.own !== own) viewer.show(own);
    if (viewer.overlay) {
      const map = await explanations.of(slice, method, label);
      if (look !== looks) return;
      if (viewer.map !== map) viewer.lay(map);
    }
    byId("save-png").disabled = false;
    for (const near of [store.at + 1, store.at - 1]) { // so that scrolling does not wait
      if (store.slices[near]) ownSlices.of(store.slices[near]).catch(() => {});
    }
  } catch (fault) {
    if (look !== looks) return;
    problem.show(fault instanceof Fault ? fault.message : say("fault_picture"), lookAt);
  }
}

byId("card").textContent = say("card_wait");
meet();
