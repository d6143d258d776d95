// The three video places. No camera runs here: a painted canvas stands in for the stream, and says so.

import { button, el, ours, refill } from "/demo/dom.js";
import { t } from "/demo/words.js";

const PLACES = ["owner", "male", "female"];
const GENDER = { male: 1, female: 2 };
const STILL_MS = 1000; // between two looks whether motion is wanted again
const FRAME_MS = 60;

export class Seats {
  constructor(page) {
    this._page = page;
    this._places = PLACES.map((name) => el("div", { class: `seat ${name}` }));
    this.node = el("section", { class: "seats" }, this._places);
  }

  draw(room, me) {
    this.node.setAttribute("aria-label", t("seats"));
    const { role } = this._page;
    PLACES.forEach((name, n) => {
      const there = room[name];
      const paused = name === "owner" && room.status === "paused";
      // The signature in a play_url is new every time, and is nothing that one sees.
      const shows = [there && { ...there, play_url: "" }, paused, role, me.user_id, me.gender];
      refill(this._places[n], shows, () => (there ? this._taken(name, there, paused, me) : this._free(name, me)));
    });
  }

  /** Where somebody sits, for gifts to fly to. */
  placeOf(userId) {
    const { room } = this._page;
    const n = PLACES.findIndex((name) => room[name] && room[name].user_id === userId);
    return n < 0 ? null : this._places[n];
  }

  _taken(name, there, paused, me) {
    const { role, live_id, app } = this._page;
    const mine = there.user_id === me.user_id;
    const takeOff = () => app.qlive.leaveMicro({ live_id, user_id: there.user_id });
    const away = there.away || paused;
    return [
      stage(there, t("stream_of", { name: there.nickname })),
      el("span", { class: "stand-in" }, t("stand_in")),
      away && el("p", { class: "away" }, t(name === "owner" ? "host_away" : "guest_away")),
      mine && el("span", { class: "mine" }, t("on_mic_yourself")),
      role === "host" && name !== "owner" && button("×", takeOff, { kind: "round take-off", key: "off", label: t("take_off", { name: there.nickname }) }),
      el("p", { class: "who" }, el("b", {}, t(`seat.${name}`)), el("span", {}, [there.nickname, there.age || null].filter(Boolean).join(" · "))),
    ];
  }

  _free(name, me) {
    const { role, live_id, app } = this._page;
    const may = role === "viewer" && me.gender === GENDER[name];
    return [
      el("div", { class: "vacant" }, el("b", {}, t(`seat.${name}`)), el("span", {}, t("seat_free"))),
      may && button(t("apply_short"), () => app.qlive.applyMicro({ live_id }), { kind: "main small", key: "apply" }),
    ];
  }
}

// ---- the painted stream

const still = matchMedia("(prefers-reduced-motion: reduce)");
const stages = new Map(); // canvas -> what it shows
let last = 0;

function stage(person, label) {
  const canvas = el("canvas", { width: 320, height: 400, role: "img", "aria-label": label });
  const face = new Image();
  const found = person.face_url && ours(person.face_url);
  if (found) face.src = found;
  const seed = [...person.user_id].reduce((sum, digit) => sum * 3 + Number(digit), 7);
  stages.set(canvas, { face, seed, letter: [...(person.nickname || "?")][0] });
  face.addEventListener("load", () => paint(canvas, stages.get(canvas), last));
  paint(canvas, stages.get(canvas), 0);
  if (stages.size === 1) requestAnimationFrame(run);
  return canvas;
}

function run(now) {
  if (now - last >= FRAME_MS) {
    last = now;
    for (const [canvas, shows] of stages) {
      if (!canvas.isConnected) stages.delete(canvas);
      else if (!still.matches) paint(canvas, shows, now);
    }
  }
  if (!stages.size) return;
  if (still.matches) setTimeout(() => requestAnimationFrame(run), STILL_MS);
  else requestAnimationFrame(run);
}

function paint(canvas, shows, now) {
  if (!shows) return;
  const { face, seed, letter } = shows;
  const brush = canvas.getContext("2d");
  const { width, height } = canvas;
  const time = now / 1000 + seed;
  const hue = (330 + (seed % 7) * 16) % 360;
  const sky = brush.createLinearGradient(0, 0, width * 0.3, height);
  sky.addColorStop(0, `hsl(${hue} 46% 34%)`);
  sky.addColorStop(1, `hsl(${(hue + 40) % 360} 52% 18%)`);
  brush.fillStyle = sky;
  brush.fillRect(0, 0, width, height);
  for (let n = 0; n < 6; n++) glow(brush, width * (0.5 + 0.46 * Math.sin(time * 0.23 + n * 1.7)), height * (0.42 + 0.36 * Math.cos(time * 0.19 + n * 2.3)), 24 + n * 9);
  const size = width * (0.56 + 0.012 * Math.sin(time * 1.6));
  head(brush, face, letter, width / 2 + 5 * Math.sin(time * 0.8), height * 0.44 + 4 * Math.sin(time * 1.3), size);
  voice(brush, width, height, time);
}

function glow(brush, x, y, radius) {
  const light = brush.createRadialGradient(x, y, 0, x, y, radius);
  light.addColorStop(0, "rgb(255 214 140 / 30%)");
  light.addColorStop(1, "rgb(255 214 140 / 0%)");
  brush.fillStyle = light;
  brush.fillRect(x - radius, y - radius, radius * 2, radius * 2);
}

function head(brush, face, letter, x, y, size) {
  brush.save();
  brush.beginPath();
  brush.arc(x, y, size / 2, 0, Math.PI * 2);
  brush.fillStyle = "rgb(255 240 214)";
  brush.fill();
  brush.clip();
  if (face.complete && face.naturalWidth) brush.drawImage(face, x - size / 2, y - size / 2, size, size);
  else {
    brush.fillStyle = "#7a1f33";
    brush.font = `600 ${size * 0.45}px system-ui, sans-serif`;
    brush.textAlign = "center";
    brush.textBaseline = "middle";
    brush.fillText(letter, x, y);
  }
  brush.restore();
  brush.lineWidth = 5;
  brush.strokeStyle = "rgb(246 207 115 / 85%)";
  brush.stroke();
}

function voice(brush, width, height, time) {
  brush.fillStyle = "rgb(255 230 180 / 75%)";
  for (let n = 0; n < 15; n++) {
    const tall = 6 + 22 * Math.abs(Math.sin(time * (2.1 + n * 0.13) + n));
    brush.fillRect(width / 2 - 90 + n * 12.4, height * 0.72 - tall / 2, 5, tall);
  }
}
