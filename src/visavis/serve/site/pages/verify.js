"use strict";
// Previews, drop, paste, and the answer in place: the page works without all this, too.
const form = document.getElementById("compare");
const result = document.getElementById("result");
const button = form.querySelector("button[type=submit]");
const words = button.textContent;
const zones = [...form.querySelectorAll("[data-drop]")];
const inputOf = (zone) => zone.querySelector("input");

function show(zone) {
  const image = zone.querySelector("[data-preview]");
  const file = inputOf(zone).files[0];
  if (image.src) URL.revokeObjectURL(image.src);
  image.hidden = !file;
  if (file) image.src = URL.createObjectURL(file);
  else image.removeAttribute("src");
}

function put(zone, file) {
  if (!file || !file.type.startsWith("image/")) {
    say(form.dataset.notimage);
    return;
  }
  const carried = new DataTransfer();
  carried.items.add(file);
  inputOf(zone).files = carried.files;
  show(zone);
}

function say(text) {
  const box = document.createElement("div");
  box.className = "verdict error";
  const line = document.createElement("p");
  line.textContent = text;
  box.append(line);
  result.replaceChildren(box);
}

for (const zone of zones) {
  inputOf(zone).addEventListener("change", () => show(zone));
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    put(zone, event.dataTransfer.files[0]);
  });
  show(zone);
}

document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files][0];
  if (!file) return;
  event.preventDefault();
  put(zones.find((zone) => !inputOf(zone).files.length) || zones[1], file);
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  button.textContent = form.dataset.working;
  try {
    const answer = await fetch(form.action, { method: "POST", body: new FormData(form) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const parts = page.getElementById("result");
    if (parts) result.replaceChildren(...parts.children);
    else say(form.dataset.failed);
    document.getElementById("verdict")?.focus();
  } catch {
    say(form.dataset.failed);
  } finally {
    button.disabled = false;
    button.textContent = words;
  }
});

const theme = document.getElementById("theme");
const dark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};
theme.hidden = false;
theme.setAttribute("aria-pressed", String(dark()));
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = dark() ? "light" : "dark";
  theme.setAttribute("aria-pressed", String(dark()));
});
