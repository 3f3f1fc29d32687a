"use strict";

// Nothing is kept but in memory: a token that is typed is gone with the page.
const form = document.getElementById("form");
const answer = document.getElementById("answer");
const token = document.getElementById("token");

async function ask(path, body) {
  const headers = token.value ? { Authorization: `Bearer ${token.value}` } : {};
  const response = await fetch(path, { method: body ? "POST" : "GET", headers, body });
  document.getElementById("asked").hidden = response.status !== 401 && !token.value;
  return response.json();
}

async function show(path, body) {
  try {
    answer.textContent = JSON.stringify(await ask(path, body), null, 2);
  } catch {
    answer.textContent = "The service does not answer.";
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const body = new FormData();
  for (const file of document.getElementById("files").files) {
    body.append("files", file);
  }
  show("/predict", body);
});

show("/model");
