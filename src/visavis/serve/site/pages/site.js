"use strict";
// Previews, drop and paste of photos, colours, and photos that are enrolled from a search: the
// pages work without all this, too.
function take(zone, files) {
  const carried = new DataTransfer();
  for (const file of files) if (file.type.startsWith("image/")) carried.items.add(file);
  if (!carried.files.length) return;
  const input = zone.querySelector("input[type=file]");
  input.files = carried.files;
  preview(zone);
}

function preview(zone) {
  const shown = zone.querySelector("[data-previews]");
  for (const image of shown.children) URL.revokeObjectURL(image.src);
  const files = [...zone.querySelector("input[type=file]").files];
  shown.replaceChildren(...files.map((file) => {
    const image = document.createElement("img");
    image.src = URL.createObjectURL(file);
    image.alt = file.name;
    return image;
  }));
}

const zones = [...document.querySelectorAll("[data-drop]")];
for (const zone of zones) {
  zone.querySelector("input[type=file]").addEventListener("change", () => preview(zone));
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(zone, event.dataTransfer.files);
  });
}

document.addEventListener("paste", (event) => {
  if (!zones.length || !event.clipboardData.files.length) return;
  event.preventDefault();
  take(zones[0], event.clipboardData.files);
});

// A search is answered in place, so that its photos are still chosen when a face is enrolled.
const search = document.getElementById("identify");
const answer = document.getElementById("answer");
let searched = [];

function offerPhotos() {
  for (const form of answer.querySelectorAll("form[data-from]")) {
    const carried = new DataTransfer();
    carried.items.add(searched[Number(form.dataset.from)]);
    form.querySelector("input[type=file]").files = carried.files;
    form.querySelector("[data-again]").hidden = true;
  }
}

search?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = search.querySelector("button[type=submit]");
  searched = [...search.querySelector("input[type=file]").files];
  button.disabled = true;
  try {
    const got = await fetch(search.action, { method: "POST", body: new FormData(search) });
    const page = new DOMParser().parseFromString(await got.text(), "text/html");
    const part = page.getElementById("answer") || page.querySelector(".verdict");
    if (part.id === "answer") {
      answer.replaceChildren(...part.children);
      offerPhotos();
    } else answer.replaceChildren(part);
  } finally {
    button.disabled = false;
  }
});

document.getElementById("result")?.focus();

const theme = document.getElementById("theme");
const root = document.documentElement;
if (sessionStorage.theme) root.dataset.theme = sessionStorage.theme;
const dark = () => {
  const chosen = root.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};
theme.hidden = false;
theme.setAttribute("aria-pressed", String(dark()));
theme.addEventListener("click", () => {
  root.dataset.theme = sessionStorage.theme = dark() ? "light" : "dark";
  theme.setAttribute("aria-pressed", String(dark()));
});
