// Login page: one click per demo role, or any name and gender.

import { picture } from "/demo/dom.js";
import { button, el, fill } from "/demo/shared/dom.js";
import { showToast } from "/demo/shared/toast.js";
import { languageSwitch, panelSwitch } from "/demo/bar.js";
import { pictureField } from "/demo/profile.js";
import { t } from "/demo/i18n.js";

const MEN = ["建国", "志强", "文博", "浩然", "俊杰", "子轩", "宇航", "明远", "天佑"];
const WOMEN = ["秀英", "雨桐", "梦洁", "静怡", "欣妍", "诗涵", "晓雯", "佳琪", "若曦"];

/** Roles of `/?as=man`, with the demo's names and the number of the first avatar. */
export const ROLES = {
  host: { names: ["hongniang1", "hongniang2"], gender: 2, face: 1 },
  man: { names: MEN, gender: 1, face: 13 },
  woman: { names: WOMEN, gender: 2, face: 3 },
  viewer: { names: ["婉清", "思远"], gender: 2, face: 12 },
};

/** Rotating name of a role, so that two windows are two users. */
const nameIndex = (role) => Number(localStorage.getItem(`qlive.demo.${role}`) || 0);
const nextName = (role) => ROLES[role].names[nameIndex(role) % ROLES[role].names.length];
const faceOf = (role) => `/static/faces/${ROLES[role].face + (nameIndex(role) % ROLES[role].names.length)}.svg`;

/** Logs in through the simulated WeChat, and registers an unknown user; `face` is a file, if any. */
export async function signIn(app, name, gender, face) {
  const profile = { name, gender, face_url: `${location.origin}/static/faces/${faceNumber(name, gender)}.svg` };
  const login = await app.network.post("/sim/phone/login", profile);
  const answer = await app.qlive.login({ appId: login.appId, code: login.code });
  if (answer.status === 1) await app.qlive.createUser(login);
  if (face) await app.qlive.uploadFace(face);
  for (const role of Object.keys(ROLES)) {
    if (name === nextName(role)) localStorage.setItem(`qlive.demo.${role}`, nameIndex(role) + 1);
  }
  return answer;
}

export const signInAs = (app, role) => signIn(app, nextName(role), ROLES[role].gender);

function faceNumber(name, gender) {
  const sum = [...name].reduce((total, character) => total + character.codePointAt(0), 0);
  return gender === 1 ? 13 + (sum % 10) : 3 + (sum % 10);
}

/** Links that open another user in a new window, in the room with `live_id` if given. */
export function newWindowLinks(live_id) {
  const liveParam = (role) => (live_id && role !== "host" ? `&live=${live_id}` : "");
  const link = (role) =>
    el(
      "a",
      { href: `/?as=${role}${liveParam(role)}`, target: "_blank", rel: "noopener", class: `user-link ${role}` },
      t(`role.${role}`),
      el("span", { "aria-hidden": "true" }, " ↗"),
    );
  return el("nav", { class: "user-links", "aria-label": t("other_users") }, Object.keys(ROLES).map(link));
}

/** The login page. */
export function loginPage(app) {
  const node = el("div", { class: "login-page" });
  return {
    kind: "light",
    node,
    draw: () =>
      fill(
        node,
        el("header", { class: "bar" }, el("div", { class: "bar-title" }), languageSwitch(app), panelSwitch()),
        el("img", { class: "mark", src: "/demo/mark.svg", alt: "" }),
        el("h1", {}, t("brand")),
        el("p", { class: "lead" }, t(app.ticket ? "login_invited" : "brand_text")),
        el("ul", { class: "roles" }, Object.keys(ROLES).map((role) => card(app, role))),
        el("p", { class: "hint" }, t("login_hint")),
      ),
  };
}

function card(app, role) {
  const name = el("input", { value: nextName(role), maxlength: 20, required: true, "aria-label": t("name_of", { role: t(`role.${role}`) }), autocomplete: "off" });
  const gender = role === "viewer" ? genderField() : null;
  const face = pictureField(picture(faceOf(role), "", "face"), t("face_of", { role: t(`role.${role}`) }));
  const enter = async () => {
    const text = name.value.trim();
    if (!text) {
      showToast(t("name_missing"), "bad");
      name.focus();
      return;
    }
    await app.logInAndEnter(() => signIn(app, text, gender ? Number(gender.value) : ROLES[role].gender, face.file()));
  };
  const go = button(t(`enter_as.${role}`), enter, { kind: role === "host" ? "main" : "" });
  name.addEventListener("keydown", (event) => {
    // During input-method composition, Enter confirms the composition.
    if (event.key === "Enter" && !event.isComposing) go.click();
  });
  return el(
    "li",
    { class: `role ${role}` },
    face.node,
    el("div", { class: "role-who" }, name, gender),
    go,
  );
}

function genderField() {
  const option = (value) => el("option", { value: String(value) }, t(`gender.${value}`));
  return el("select", { "aria-label": t("gender") }, [2, 1, 0].map(option));
}
