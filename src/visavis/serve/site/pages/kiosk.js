"use strict";
// Pictures of the camera are sent one at a time, with the kiosk's key; what comes back is shown.
const kiosk = document.getElementById("kiosk");
const video = kiosk.querySelector("video");
const title = document.getElementById("title");
const line = document.getElementById("line");
const ways = document.getElementById("ways");
const KEPT = "visavis_kiosk";
const WIDTH = 640; // pixels of a picture that is sent
const PAUSE = 150; // milliseconds between an answer and the next picture
const LONG = 4000; // milliseconds that an end is shown
const AGAIN = 3000; // milliseconds until another try, where the service does not answer
const ENDS = ["done", "unknown", "failed"];
const sent = document.createElement("canvas");
let pressed = "";
let until = 0;

// The key stands behind the #, which no browser sends: it is kept here, and taken off the address.
if (location.hash.length > 1) {
  localStorage.setItem(KEPT, location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
}
const key = localStorage.getItem(KEPT);

function show(answer) {
  const ends = ENDS.includes(answer.state);
  if (!ends && answer.state === "waiting" && performance.now() < until) return;
  if (ends && kiosk.dataset.state !== answer.state) until = performance.now() + LONG;
  // Said while the same face stays there: its name is gone from the answer, and stays on the page.
  if (ends && kiosk.dataset.state === answer.state && !answer.title) return;
  kiosk.dataset.state = answer.state;
  title.textContent = answer.title;
  line.textContent = answer.line || "";
  for (const button of ways.children) button.disabled = answer.state !== "choose";
}

const wait = (time) => new Promise((done) => setTimeout(done, time));
const headers = { Authorization: `Bearer ${key}` };

async function picture() {
  sent.width = WIDTH;
  sent.height = Math.round((WIDTH * video.videoHeight) / video.videoWidth);
  sent.getContext("2d").drawImage(video, 0, 0, sent.width, sent.height);
  const form = new FormData();
  form.append("image", await new Promise((done) => sent.toBlob(done, "image/jpeg", 0.9)), "camera.jpg");
  if (pressed) form.append("direction", pressed);
  pressed = "";
  return form;
}

async function see() {
  const got = await fetch("/kiosk/pictures", { method: "POST", headers, body: await picture() });
  if (got.status === 401 || got.status === 403) return show({ state: "fault", title: kiosk.dataset.nokey });
  if (!got.ok) throw new Error(String(got.status));
  return show(await got.json());
}

async function start() {
  if (!key) return show({ state: "fault", title: kiosk.dataset.nokey });
  const got = await fetch("/kiosk/device", { headers });
  if (!got.ok) return show({ state: "fault", title: kiosk.dataset.nokey });
  const own = await got.json();
  document.getElementById("device").textContent = own.device;
  ways.hidden = !own.asks;
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
    await video.play();
  } catch {
    return show({ state: "fault", title: kiosk.dataset.denied });
  }
  for (;;) {
    try {
      await see();
      await wait(PAUSE);
    } catch {
      show({ state: "fault", title: kiosk.dataset.away });
      await wait(AGAIN);
    }
  }
}

ways.addEventListener("click", (event) => {
  if (event.target.value) pressed = event.target.value;
});
start();
