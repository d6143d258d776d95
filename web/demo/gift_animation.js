// Gift animation towards the receiver's seat; none with prefers-reduced-motion.

import { picture } from "/demo/dom.js";
import { el } from "/demo/shared/dom.js";

const FLIGHT_MS = 1500;
const LARGE_MS = 2600;

const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Animates up to nine gifts from the bottom of `page` to `seat`, or to the middle without a seat. */
export function animateGift(page, seat, gift, num) {
  if (reducedMotion() || document.hidden) return;
  const pageBox = page.getBoundingClientRect();
  const seatBox = (seat || page).getBoundingClientRect();
  const x = seatBox.left + seatBox.width / 2 - pageBox.left;
  const y = seatBox.top + seatBox.height / 2 - pageBox.top;
  const isLarge = gift.effect === "fullscreen" || gift.effect === "drive";
  for (let n = 0; n < Math.min(num, 9); n++) animateOne(page, pageBox, { x, y }, gift, n, isLarge);
}

function animateOne(page, pageBox, target, gift, n, isLarge) {
  const sprite = el("span", { class: "flying", "aria-hidden": "true" }, picture(gift.image, gift.name, "gift"));
  page.append(sprite);
  const from = { x: pageBox.width / 2 + (n - 4) * (n ? 24 : 0), y: pageBox.height - 60 };
  const keyframes = gift.effect === "drive" ? driveAcross(pageBox) : isLarge ? growAndShrink(pageBox, target) : arc(from, target);
  const timing = { duration: isLarge ? LARGE_MS : FLIGHT_MS, delay: n * 110, easing: "ease-in-out", fill: "both" };
  sprite.animate(keyframes, timing).finished.then(() => sprite.remove(), () => sprite.remove());
}

const keyframe = (x, y, scale, opacity, rotation = 0) => ({
  transform: `translate(${x - 32}px, ${y - 32}px) scale(${scale}) rotate(${rotation}deg)`,
  opacity,
});

const arc = (from, target) => [
  keyframe(from.x, from.y, 0.4, 0),
  { ...keyframe(from.x, from.y - 90, 1.5, 1, -12), offset: 0.25 },
  { ...keyframe(target.x, target.y, 1.3, 1, 8), offset: 0.8 },
  keyframe(target.x, target.y - 24, 2.4, 0),
];

const growAndShrink = (pageBox, target) => [
  keyframe(pageBox.width / 2, pageBox.height, 0.5, 0),
  { ...keyframe(pageBox.width / 2, pageBox.height / 2, 4.6, 1, -4), offset: 0.35 },
  { ...keyframe(pageBox.width / 2, pageBox.height / 2 - 12, 5, 1, 4), offset: 0.7 },
  keyframe(target.x, target.y, 0.6, 0),
];

const driveAcross = (pageBox) => [
  keyframe(-60, pageBox.height * 0.62, 2.6, 1),
  { ...keyframe(pageBox.width / 2, pageBox.height * 0.56, 3.2, 1, -3), offset: 0.5 },
  keyframe(pageBox.width + 90, pageBox.height * 0.5, 2.6, 1),
];
