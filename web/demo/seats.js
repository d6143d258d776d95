// The three video seats. There is no camera: an animated canvas, labelled as such, replaces the stream.

import { seatOf } from "/sdk/qlive.js";
import { renderIfChanged, safeImageUrl } from "/demo/dom.js";
import { button, el } from "/demo/shared/dom.js";
import { nameButton } from "/demo/person.js";
import { t } from "/demo/i18n.js";

const SEATS = ["owner", "male", "female"];
const GENDER_BY_SEAT = { male: 1, female: 2 };
const REDUCED_MOTION_POLL_MS = 1000; // interval of checking whether reduced motion is still preferred
const FRAME_MS = 60;

export class Seats {
  constructor(page) {
    this._page = page;
    this._seats = SEATS.map((name) => el("div", { class: `seat ${name}` }));
    this.node = el("section", { class: "seats" }, this._seats);
  }

  draw(room, me) {
    this.node.setAttribute("aria-label", t("seats"));
    const { role } = this._page;
    SEATS.forEach((name, n) => {
      const occupant = room[name];
      const paused = name === "owner" && room.status === "paused";
      // play_url is signed again with every snapshot, but is not shown.
      const state = [occupant && { ...occupant, play_url: "" }, paused, role, me.user_id, me.gender];
      renderIfChanged(this._seats[n], state, () => (occupant ? this._renderTaken(name, occupant, paused, me) : this._renderFree(name, me)));
    });
  }

  /** The seat element of a user, or null. */
  seatOf(userId) {
    return this._seats[SEATS.indexOf(seatOf(this._page, userId))] ?? null;
  }

  _renderTaken(name, occupant, paused, me) {
    const { role, live_id, app } = this._page;
    const isOwn = occupant.user_id === me.user_id;
    const takeOff = () => app.qlive.leaveMicro({ live_id, user_id: occupant.user_id });
    const away = occupant.away || paused;
    return [
      createStream(occupant, t("stream_of", { name: occupant.nickname })),
      el("span", { class: "animation-tag" }, t("stand_in")),
      away && el("p", { class: "away" }, t(name === "owner" ? "host_away" : "guest_away")),
      isOwn && el("span", { class: "own-tag" }, t("on_mic_yourself")),
      role === "host" && name !== "owner" && button("×", takeOff, { kind: "round take-off", key: "off", label: t("take_off", { name: occupant.nickname }) }),
      el("div", { class: "who" }, nameButton(this._page, occupant, el("b", {}, t(`seat.${name}`)), el("span", {}, [occupant.nickname, occupant.age || null].filter(Boolean).join(" · ")))),
    ];
  }

  _renderFree(name, me) {
    const { role, live_id, app } = this._page;
    const canApply = role === "viewer" && me.gender === GENDER_BY_SEAT[name];
    return [
      el("div", { class: "vacant" }, el("b", {}, t(`seat.${name}`)), el("span", {}, t("seat_free"))),
      canApply && button(t("apply_short"), () => app.qlive.applyMicro({ live_id }), { kind: "main small", key: "apply" }),
    ];
  }
}

// ---- painted stream

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
const streams = new Map(); // canvas -> painted content
let lastFrameAt = 0;

function createStream(person, label) {
  const canvas = el("canvas", { width: 320, height: 400, role: "img", "aria-label": label });
  const face = new Image();
  const imageUrl = safeImageUrl(person.face_url);
  if (imageUrl) face.src = imageUrl;
  const seed = [...person.user_id].reduce((sum, digit) => sum * 3 + Number(digit), 7);
  streams.set(canvas, { face, seed, letter: [...(person.nickname || "?")][0] });
  face.addEventListener("load", () => paintStream(canvas, streams.get(canvas), lastFrameAt));
  paintStream(canvas, streams.get(canvas), 0);
  if (streams.size === 1) requestAnimationFrame(animate);
  return canvas;
}

function animate(now) {
  if (now - lastFrameAt >= FRAME_MS) {
    lastFrameAt = now;
    for (const [canvas, content] of streams) {
      if (!canvas.isConnected) streams.delete(canvas);
      else if (!reducedMotion.matches) paintStream(canvas, content, now);
    }
  }
  if (!streams.size) return;
  if (reducedMotion.matches) setTimeout(() => requestAnimationFrame(animate), REDUCED_MOTION_POLL_MS);
  else requestAnimationFrame(animate);
}

function paintStream(canvas, content, now) {
  if (!content) return;
  const { face, seed, letter } = content;
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const time = now / 1000 + seed;
  const hue = (330 + (seed % 7) * 16) % 360;
  const background = context.createLinearGradient(0, 0, width * 0.3, height);
  background.addColorStop(0, `hsl(${hue} 46% 34%)`);
  background.addColorStop(1, `hsl(${(hue + 40) % 360} 52% 18%)`);
  context.fillStyle = background;
  context.fillRect(0, 0, width, height);
  for (let n = 0; n < 6; n++) paintGlow(context, width * (0.5 + 0.46 * Math.sin(time * 0.23 + n * 1.7)), height * (0.42 + 0.36 * Math.cos(time * 0.19 + n * 2.3)), 24 + n * 9);
  const size = width * (0.56 + 0.012 * Math.sin(time * 1.6));
  paintAvatar(context, face, letter, width / 2 + 5 * Math.sin(time * 0.8), height * 0.44 + 4 * Math.sin(time * 1.3), size);
  paintVoiceBars(context, width, height, time);
}

function paintGlow(context, x, y, radius) {
  const gradient = context.createRadialGradient(x, y, 0, x, y, radius);
  gradient.addColorStop(0, "rgb(255 214 140 / 30%)");
  gradient.addColorStop(1, "rgb(255 214 140 / 0%)");
  context.fillStyle = gradient;
  context.fillRect(x - radius, y - radius, radius * 2, radius * 2);
}

function paintAvatar(context, face, letter, x, y, size) {
  context.save();
  context.beginPath();
  context.arc(x, y, size / 2, 0, Math.PI * 2);
  context.fillStyle = "rgb(255 240 214)";
  context.fill();
  context.clip();
  if (face.complete && face.naturalWidth) context.drawImage(face, x - size / 2, y - size / 2, size, size);
  else {
    context.fillStyle = "#7a1f33";
    context.font = `600 ${size * 0.45}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(letter, x, y);
  }
  context.restore();
  context.lineWidth = 5;
  context.strokeStyle = "rgb(246 207 115 / 85%)";
  context.stroke();
}

function paintVoiceBars(context, width, height, time) {
  context.fillStyle = "rgb(255 230 180 / 75%)";
  for (let n = 0; n < 15; n++) {
    const barHeight = 6 + 22 * Math.abs(Math.sin(time * (2.1 + n * 0.13) + n));
    context.fillRect(width / 2 - 90 + n * 12.4, height * 0.72 - barHeight / 2, 5, barHeight);
  }
}
