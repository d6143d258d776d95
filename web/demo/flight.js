// A gift on its way to whom it was given; nothing flies for those who want no motion.

import { el, picture } from "/demo/dom.js";

const FLIGHT_MS = 1500;
const GRAND_MS = 2600;

const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** From the bottom of `page` to `seat` (or the middle, when its receiver sits nowhere). */
export function fly(page, seat, gift, num) {
  if (still() || document.hidden) return;
  const ground = page.getBoundingClientRect();
  const aim = (seat || page).getBoundingClientRect();
  const x = aim.left + aim.width / 2 - ground.left;
  const y = aim.top + aim.height / 2 - ground.top;
  const grand = gift.effect === "fullscreen" || gift.effect === "drive";
  for (let n = 0; n < Math.min(num, 9); n++) send(page, ground, { x, y }, gift, n, grand);
}

function send(page, ground, aim, gift, n, grand) {
  const flying = el("span", { class: "flying", "aria-hidden": "true" }, picture(gift.image, gift.name, "gift"));
  page.append(flying);
  const from = { x: ground.width / 2 + (n - 4) * (n ? 24 : 0), y: ground.height - 60 };
  const way = gift.effect === "drive" ? across(ground) : grand ? over(ground, aim) : arc(from, aim);
  const timing = { duration: grand ? GRAND_MS : FLIGHT_MS, delay: n * 110, easing: "ease-in-out", fill: "both" };
  flying.animate(way, timing).finished.then(() => flying.remove(), () => flying.remove());
}

const at = (x, y, scale, opacity, turn = 0) => ({
  transform: `translate(${x - 32}px, ${y - 32}px) scale(${scale}) rotate(${turn}deg)`,
  opacity,
});

const arc = (from, aim) => [
  at(from.x, from.y, 0.4, 0),
  { ...at(from.x, from.y - 90, 1.5, 1, -12), offset: 0.25 },
  { ...at(aim.x, aim.y, 1.3, 1, 8), offset: 0.8 },
  at(aim.x, aim.y - 24, 2.4, 0),
];

const over = (ground, aim) => [
  at(ground.width / 2, ground.height, 0.5, 0),
  { ...at(ground.width / 2, ground.height / 2, 4.6, 1, -4), offset: 0.35 },
  { ...at(ground.width / 2, ground.height / 2 - 12, 5, 1, 4), offset: 0.7 },
  at(aim.x, aim.y, 0.6, 0),
];

const across = (ground) => [
  at(-60, ground.height * 0.62, 2.6, 1),
  { ...at(ground.width / 2, ground.height * 0.56, 3.2, 1, -3), offset: 0.5 },
  at(ground.width + 90, ground.height * 0.5, 2.6, 1),
];
