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
let meeting = null;

bindHelp();
bindFiles(store);
const overlay = bindOverlay(viewer, () => lookAt());
bindSlices(store, viewer, overlay);
bindUploads(async (files) => {
  store.add(files);
  await send();
}, (names) => problem.show(say("fault_lost", { count: names.length, name: names[0] })));

store.addEventListener("entries", () => {
  const some = store.slices.length > 0;
  for (const id of ["save-json", "print"]) byId(id).disabled = !some;
  for (const part of document.querySelectorAll(".view, .results")) part.hidden = !some;
  if (!store.entries.length) {
    problem.hide();
    for (const kept of [ownSlices, explanations]) kept.forget();
  }
  if (store.slice !== shown) lookAt();
});
store.addEventListener("at", lookAt);

saves("save-json", () => saveJson(store));
saves("save-png", () => savePicture(store, viewer));
saves("save-dicom", () => saveDicom(store.slice, overlay.asked(), problem.waits));
byId("print").addEventListener("click", () => print());

// A button that saves, one file at a time; `save` returns its name.
function saves(button, save) {
  let at = null;
  byId(button).addEventListener("click", async () => {
    if (at) return;
    try {
      at = save();
      status(say("status_saved", { name: await at }));
    } catch (fault) {
      problem.show(lineOf(fault, "fault_save"));
    } finally {
      at = null;
    }
  });
}

function lineOf(fault, otherwise) {
  return fault instanceof Fault ? fault.message : say(otherwise);
}

async function send() {
  if (await meet()) await queue.send();
}

// The model is asked once, whoever waits for it; without it nothing is sent.
function meet() {
  meeting ??= asked().finally(() => { meeting = null; });
  return meeting;
}

async function asked() {
  if (store.model) return true;
  try {
    store.model = await ask("/model", null, problem.waits);
  } catch (fault) {
    problem.show(fault.message, send);
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
  let failed = "fault_picture";
  try {
    const own = await ownSlices.of(slice);
    if (look !== looks) return;
    if (viewer.own !== own) viewer.show(own);
    if (viewer.overlay) {
      failed = "fault_map";
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
    problem.show(lineOf(fault, failed), lookAt);
  }
}

byId("card").textContent = say("card_wait");
meet();
