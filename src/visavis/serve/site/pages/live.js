"use strict";
// Pictures of the camera go over a WebSocket, one at a time; boxes and names are drawn over them.
const live = document.getElementById("live");
const video = live.querySelector("video");
const drawing = live.querySelector("canvas");
const button = document.getElementById("switch");
const status = document.getElementById("status");
const names = document.getElementById("names");
const rate = document.getElementById("rate");
const COLORS = { match: "#4fbf73", review: "#e5a83b", no_match: "#f0808a" };
const WIDTH = 640; // pixels of a picture that is sent
const LONG = 1000; // milliseconds over which the rate is taken
const sent = document.createElement("canvas");
let stream = null;
let socket = null;
let answered = [];

function draw(faces) {
  const [width, height] = [drawing.width, drawing.height] = [video.videoWidth, video.videoHeight];
  const pen = drawing.getContext("2d");
  const size = Math.max(14, Math.round(width / 32));
  pen.font = `600 ${size}px system-ui, sans-serif`;
  pen.lineJoin = "round";
  for (const face of faces) {
    const [left, top, right, bottom] = [0, 1, 0, 1].map((axis, n) => face.box[n] * [width, height][axis]);
    pen.lineWidth = Math.max(2, width / 160);
    pen.strokeStyle = COLORS[face.outcome];
    pen.strokeRect(left, top, right - left, bottom - top);
    // Above the face where there is room, and light with a dark edge: readable on anything.
    const line = top > 1.5 * size ? top - size / 2 : Math.min(bottom + 1.25 * size, height - 4);
    pen.lineWidth = size / 4;
    pen.strokeStyle = "#000000";
    pen.strokeText(face.title, left, line);
    pen.fillStyle = "#ffffff";
    pen.fillText(face.title, left, line);
  }
}

function list(faces) {
  const titles = faces.map((face) => face.title);
  if ([...names.children].map((line) => line.textContent).join("\n") === titles.join("\n")) return;
  names.replaceChildren(...titles.map((title) => {
    const line = document.createElement("li");
    line.textContent = title;
    return line;
  }));
}

function count() {
  const now = performance.now();
  answered = [...answered.filter((one) => now - one < LONG), now];
  rate.textContent = live.dataset.rate.replace("{rate}", String(answered.length));
}

function send() {
  if (!socket || socket.readyState !== WebSocket.OPEN) return;
  sent.width = WIDTH;
  sent.height = Math.round((WIDTH * video.videoHeight) / video.videoWidth);
  sent.getContext("2d").drawImage(video, 0, 0, sent.width, sent.height);
  sent.toBlob((picture) => socket?.readyState === WebSocket.OPEN && socket.send(picture), "image/jpeg", 0.85);
}

function stop(words = "") {
  stream?.getTracks().forEach((track) => track.stop());
  socket?.close();
  stream = socket = null;
  answered = [];
  draw([]);
  list([]);
  rate.textContent = "";
  status.textContent = words;
  button.textContent = live.dataset.start;
}

async function start() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: true });
  } catch {
    stop(live.dataset.denied);
    return;
  }
  video.srcObject = stream;
  await video.play();
  status.textContent = "";
  button.textContent = live.dataset.stop;
  const own = socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/live/pictures`);
  own.addEventListener("open", send);
  own.addEventListener("close", () => socket === own && stop(live.dataset.ended));
  own.addEventListener("message", (event) => {
    if (socket !== own) return;
    const answer = JSON.parse(event.data);
    draw(answer.faces);
    list(answer.faces);
    status.textContent = answer.fault || "";
    count();
    send();
  });
}

button.addEventListener("click", () => (stream ? stop() : start()));
