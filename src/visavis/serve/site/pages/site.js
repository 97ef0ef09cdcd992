"use strict";
// Previews, drop and paste of photos, answers in place, colours, and photos that are enrolled from a
// search: the pages work without all this, too.
const inputOf = (zone) => zone.querySelector("input[type=file]");
const previewsOf = (zone) => zone.querySelector("[data-previews]");

function take(zone, files) {
  const input = inputOf(zone);
  const carried = new DataTransfer();
  const photos = [...files].filter((file) => file.type.startsWith("image/"));
  for (const file of input.multiple ? photos : photos.slice(0, 1)) carried.items.add(file);
  if (!photos.length) {
    previewsOf(zone).textContent = zone.dataset.notimage;
    return;
  }
  input.files = carried.files;
  preview(zone);
}

function preview(zone) {
  const shown = previewsOf(zone);
  const files = [...inputOf(zone).files];
  for (const image of shown.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  shown.replaceChildren(...files.map((file) => {
    const image = document.createElement("img");
    image.src = URL.createObjectURL(file);
    image.alt = file.name;
    return image;
  }));
  if (files.length && "look" in zone.dataset) look(zone, files);
}

// What is poor about photos is told before they are enrolled.
async function look(zone, files) {
  const asked = new FormData();
  asked.append("csrf", zone.closest("form").elements.csrf.value);
  for (const file of files) asked.append("images", file);
  const got = await fetch("/people/look", { method: "POST", body: asked }).catch(() => null);
  if (!got?.ok || got.redirected || files[0] !== inputOf(zone).files[0]) return;
  const list = document.createElement("ul");
  for (const one of (await got.json()).photos) {
    const line = document.createElement("li");
    line.textContent = `${one.name}: ${one.said}`;
    list.append(line);
  }
  previewsOf(zone).append(list);
}

// A photo by the camera: the first click shows it, the second one takes the photo.
async function useCamera(zone, button) {
  const open = zone.querySelector("video");
  if (open) {
    const canvas = document.createElement("canvas");
    canvas.width = open.videoWidth;
    canvas.height = open.videoHeight;
    canvas.getContext("2d").drawImage(open, 0, 0);
    for (const track of open.srcObject.getTracks()) track.stop();
    open.remove();
    button.textContent = button.dataset.open;
    const photo = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.95));
    const name = `camera-${new Date().toISOString().slice(11, 19).replaceAll(":", "-")}.jpg`;
    const file = new File([photo], name, { type: "image/jpeg" });
    take(zone, inputOf(zone).multiple ? [...inputOf(zone).files, file] : [file]);
    return;
  }
  const video = document.createElement("video");
  video.muted = video.playsInline = true;
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 1280 } });
    await video.play();
  } catch {
    previewsOf(zone).textContent = zone.dataset.nocamera;
    return;
  }
  button.before(video);
  button.textContent = button.dataset.take;
}

const zones = [...document.querySelectorAll("[data-drop]")];
for (const zone of zones) {
  inputOf(zone).addEventListener("change", () => preview(zone));
  const camera = zone.querySelector("[data-camera]");
  camera.hidden = !navigator.mediaDevices;
  camera.addEventListener("click", () => useCamera(zone, camera));
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
  preview(zone);
}

document.addEventListener("paste", (event) => {
  if (!zones.length || !event.clipboardData.files.length) return;
  event.preventDefault();
  take(zones.find((zone) => !inputOf(zone).files.length) || zones.at(-1), event.clipboardData.files);
});

// Such a form is answered in place, so that its photos are still chosen.
function offerPhotos(place, photos) {
  for (const form of place.querySelectorAll("form[data-from]")) {
    const carried = new DataTransfer();
    carried.items.add(photos[Number(form.dataset.from)]);
    inputOf(form).files = carried.files;
    form.querySelector("[data-again]").hidden = true;
  }
}

function say(place, text) {
  const box = document.createElement("div");
  const line = document.createElement("p");
  box.className = "verdict error";
  line.textContent = text;
  box.append(line);
  place.replaceChildren(box);
}

async function answerInPlace(form, place) {
  const photos = [...(form.querySelector("input[type=file]")?.files ?? [])];
  const got = await fetch(form.action, { method: "POST", body: new FormData(form) });
  if (got.redirected) {
    location.assign(got.url);
    return;
  }
  const page = new DOMParser().parseFromString(await got.text(), "text/html");
  const answer = page.getElementById(place.id);
  const fault = page.querySelector(".verdict");
  if (answer) place.replaceChildren(...answer.children);
  else if (fault) place.replaceChildren(fault);
  else say(place, form.dataset.failed);
  offerPhotos(place, photos);
  place.querySelector("[tabindex]")?.focus();
}

for (const form of document.querySelectorAll("form[data-answer]")) {
  const place = document.getElementById(form.dataset.answer);
  const button = form.querySelector("button[type=submit]");
  const words = button.textContent;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    button.textContent = form.dataset.working ?? words;
    try {
      await answerInPlace(form, place);
    } catch {
      say(place, form.dataset.failed);
    } finally {
      button.disabled = false;
      button.textContent = words;
    }
  });
}

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
