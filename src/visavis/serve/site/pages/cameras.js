"use strict";
// The lists beside the picture, as the service writes them; the picture needs no script.
const camera = document.getElementById("camera");
const picture = camera.querySelector("img");
const status = document.getElementById("status");
const faces = document.getElementById("faces");
const told = document.getElementById("told");
const AGAIN = 3000; // milliseconds until a picture that ended is asked for again

function line(words, kind) {
  const item = document.createElement("li");
  const text = document.createElement("strong");
  text.textContent = words;
  text.className = kind;
  item.append(text);
  return item;
}

function happened(one) {
  const item = document.createElement("li");
  const when = document.createElement("time");
  when.dateTime = one.at;
  when.textContent = new Date(one.at).toLocaleTimeString(document.documentElement.lang);
  item.append(when, ` ${one.said}${one.text ? `: ${one.text}` : ""}`);
  return item;
}

const source = new EventSource(camera.dataset.events);
source.addEventListener("message", (event) => {
  const board = JSON.parse(event.data);
  status.textContent = board.status;
  faces.replaceChildren(...board.faces.map((one) => line(one.title, one.outcome)));
  told.replaceChildren(...board.told.map(happened));
});
source.addEventListener("error", () => {
  status.textContent = camera.dataset.ended;
  faces.replaceChildren();
});
picture.addEventListener("error", () => setTimeout(() => {
  picture.src = `${picture.src.split("?")[0]}?${Date.now()}`;
}, AGAIN));
