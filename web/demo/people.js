// Who sits at this window: one click as one of the demo's people, or anybody by name and gender.

import { button, el, fill, picture, say } from "/demo/dom.js";
import { languageSwitch, panelSwitch } from "/demo/bar.js";
import { t } from "/demo/words.js";

const MEN = ["建国", "志强", "文博", "浩然", "俊杰", "子轩", "宇航", "明远", "天佑"];
const WOMEN = ["秀英", "雨桐", "梦洁", "静怡", "欣妍", "诗涵", "晓雯", "佳琪", "若曦"];

/** What a window can be opened as: `/?as=man`. Names are the demo's own; a face by its number. */
export const ROLES = {
  host: { names: ["hongniang1", "hongniang2"], gender: 2, face: 1 },
  man: { names: MEN, gender: 1, face: 13 },
  woman: { names: WOMEN, gender: 2, face: 3 },
  viewer: { names: ["婉清", "思远"], gender: 2, face: 12 },
};

/** The next name of a role, so that two windows are two people. */
const turn = (role) => Number(localStorage.getItem(`qlive.demo.${role}`) || 0);
const nextName = (role) => ROLES[role].names[turn(role) % ROLES[role].names.length];
const faceOf = (role) => `/static/faces/${ROLES[role].face + (turn(role) % ROLES[role].names.length)}.svg`;

/** Logs this window in, as WeChat would; who is new becomes a user on the way. */
export async function signIn(app, name, gender) {
  const wish = { name, gender, face_url: `${location.origin}/static/faces/${someFace(name, gender)}.svg` };
  const wechat = () => app.network.post("/sim/phone/login", wish);
  const { appId, code } = await wechat();
  const answer = await app.qlive.login({ appId, code });
  if (answer.status === 1) await app.qlive.createUser(await wechat());
  for (const role of Object.keys(ROLES)) {
    if (name === nextName(role)) localStorage.setItem(`qlive.demo.${role}`, turn(role) + 1);
  }
  return answer;
}

export const signInAs = (app, role) => signIn(app, nextName(role), ROLES[role].gender);

function someFace(name, gender) {
  const sum = [...name].reduce((total, letter) => total + letter.codePointAt(0), 0);
  return gender === 1 ? 13 + (sum % 10) : 3 + (sum % 10);
}

/** Links that open the next people, straight into the room where this one is. */
export function nextPeople(live_id) {
  const where = (role) => (live_id && role !== "host" ? `&live=${live_id}` : "");
  const link = (role) =>
    el(
      "a",
      { href: `/?as=${role}${where(role)}`, target: "_blank", rel: "noopener", class: `next ${role}` },
      t(`role.${role}`),
      el("span", { "aria-hidden": "true" }, " ↗"),
    );
  return el("nav", { class: "next-people", "aria-label": t("next_people") }, Object.keys(ROLES).map(link));
}

/** The first page: nobody has come in yet. */
export function doorPage(app) {
  const node = el("div", { class: "door" });
  return {
    kind: "light",
    node,
    draw: () =>
      fill(
        node,
        el("header", { class: "bar" }, el("div", { class: "bar-title" }), languageSwitch(app), panelSwitch()),
        el("img", { class: "mark", src: "/demo/mark.svg", alt: "" }),
        el("h1", {}, t("brand")),
        el("p", { class: "lead" }, t("brand_says")),
        el("ul", { class: "roles" }, Object.keys(ROLES).map((role) => card(app, role))),
        el("p", { class: "hint" }, t("door_hint")),
      ),
  };
}

function card(app, role) {
  const name = el("input", { value: nextName(role), maxlength: 20, required: true, "aria-label": t("name_of", { role: t(`role.${role}`) }), autocomplete: "off" });
  const gender = role === "viewer" ? genderField() : null;
  const enter = async () => {
    const text = name.value.trim();
    if (!text) {
      say(t("name_missing"), "bad");
      name.focus();
      return;
    }
    await app.comeIn(() => signIn(app, text, gender ? Number(gender.value) : ROLES[role].gender));
  };
  const go = button(t(`enter_as.${role}`), enter, { kind: role === "host" ? "main" : "" });
  name.addEventListener("keydown", (event) => {
    // While Chinese is composed, Enter takes the letters as they are.
    if (event.key === "Enter" && !event.isComposing) go.click();
  });
  return el(
    "li",
    { class: `role ${role}` },
    picture(faceOf(role), "", "face"),
    el("div", { class: "role-who" }, name, gender),
    go,
  );
}

function genderField() {
  const option = (value) => el("option", { value: String(value) }, t(`gender.${value}`));
  return el("select", { "aria-label": t("gender") }, [2, 1, 0].map(option));
}
