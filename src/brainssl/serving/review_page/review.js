"use strict";

// Nothing is kept but in memory: a token that is typed is gone with the page.
const at = (id) => document.getElementById(id);
// Of each class a key of its own: digits, then letters that decide nothing else.
const KEYS = "1234567890abcdefghijlmnopqrstvwyz";
let deck = null;
let place = 0;
let busy = false;

async function ask(path, body) {
  const headers = at("token").value ? { Authorization: `Bearer ${at("token").value}` } : {};
  if (body) {
    headers["Content-Type"] = "application/json";
  }
  const response = await fetch(path, { method: body ? "POST" : "GET", headers, body });
  at("asked").hidden = response.status !== 401;
  if (!response.ok) {
    throw new Error((await response.json()).error);
  }
  return response;
}

async function draw(canvas, id) {
  // A picture's element cannot send the token, and the page may load no other address.
  const picture = await createImageBitmap(await (await ask(`/image?id=${encodeURIComponent(id)}`)).blob());
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").drawImage(picture, 0, 0);
}

function element(kind, text, name) {
  const made = document.createElement(kind);
  made.textContent = text;
  made.className = name || "";
  return made;
}

function bar(card, name, index, decided) {
  const row = element("tr", "", name === card.label ? "given" : "");
  row.classList.toggle("decided", decided !== undefined && decided.label === name);
  const button = element("button", KEYS[index] || "·");
  button.type = "button";
  button.disabled = name === card.label;
  button.addEventListener("click", () => decide("relabel", name));
  const meter = document.createElement("meter");
  const share = card.probabilities ? card.probabilities[index] : null;
  meter.value = share ?? 0;
  meter.setAttribute("aria-label", name);
  const cells = [button, document.createTextNode(name), meter];
  cells.forEach((one, n) => row.appendChild(element("td", "", n === 2 ? "bar" : "")).append(one));
  row.appendChild(element("td", share === null ? "–" : share.toFixed(3)));
  return row;
}

async function show() {
  const count = deck.cards.length;
  const done = deck.cards.filter((card) => deck.verdicts[card.image_id]).length;
  at("card").hidden = place >= count;
  if (place >= count) {
    at("place").textContent = `${done} of ${count} decided. This was the last; backspace goes back.`;
    return;
  }
  const card = deck.cards[place];
  const decided = deck.verdicts[card.image_id];
  const told = decided ? `; decided: ${decided.verdict} ${decided.label}` : "";
  at("place").textContent = `${place + 1} of ${count}, ${done} decided${told}`;
  at("label").textContent = `Label: ${card.label}`;
  at("about").textContent = `${card.path} · ${card.reason}${card.score === null ? "" : ` · score ${card.score.toFixed(3)}`}`;
  at("bars").replaceChildren(...deck.classes.map((name, n) => bar(card, name, n, decided)));
  at("beside").hidden = card.other_id === null;
  at("other").textContent = card.other_id === null ? "" : `${card.other} · label: ${card.other_label}`;
  await draw(at("slice"), card.image_id);
  if (card.other_id !== null) {
    await draw(at("copy"), card.other_id);
  }
}

async function alone(work) {
  // One after the other: a key that is held down must not decide what is not seen yet.
  if (busy) {
    return;
  }
  busy = true;
  try {
    await work();
  } catch (error) {
    at("place").textContent = error.message || "The service does not answer.";
  } finally {
    busy = false;
  }
}

function decide(verdict, label) {
  return alone(async () => {
    const card = deck && deck.cards[place];
    if (!card || (verdict === "relabel" && label === card.label)) {
      return;
    }
    const body = { image_id: card.image_id, verdict, label: label || "" };
    const kept = await (await ask("/verdict", JSON.stringify(body))).json();
    deck.verdicts[card.image_id] = kept;
    place += 1;
    await show();
  });
}

function back() {
  return alone(async () => {
    place = Math.max(0, place - 1);
    await show();
  });
}

function begin() {
  return alone(async () => {
    deck = await (await ask("/cards")).json();
    const open = deck.cards.findIndex((card) => !deck.verdicts[card.image_id]);
    place = open < 0 ? deck.cards.length : open;
    await show();
  });
}

document.addEventListener("keydown", (event) => {
  if (!deck || event.repeat || event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === "INPUT") {
    return;
  }
  const key = event.key.toLowerCase();
  const own = { k: () => decide("keep"), x: () => decide("exclude"), u: () => decide("unsure"), backspace: back };
  const name = key.length === 1 ? deck.classes[KEYS.indexOf(key)] : undefined;
  if (own[key]) {
    event.preventDefault();
    own[key]();
  } else if (name !== undefined && KEYS.includes(key)) {
    event.preventDefault();
    decide("relabel", name);
  }
});

for (const kind of ["keep", "exclude", "unsure"]) {
  at(kind).addEventListener("click", () => decide(kind));
}
at("back").addEventListener("click", back);
at("asked").addEventListener("submit", (event) => {
  event.preventDefault();
  begin();
});
begin();
