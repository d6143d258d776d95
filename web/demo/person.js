// The dialog about another user: the host names deputies, both mute and invite, guests like one another, everybody
// follows, reports and blocks.

import { seatOf } from "/sdk/qlive.js";
import { picture, radioGroup, openDialog } from "/demo/dom.js";
import { button, el } from "/demo/shared/dom.js";
import { showToast } from "/demo/shared/toast.js";
import { t } from "/demo/i18n.js";

const REASONS = ["sexual", "abuse", "fraud", "minor", "advert", "other"];

const faces = new Map(); // promises of public profiles, by user_id

/** The checked name and face of a user: of the room, or of the server, which is asked once. */
export async function faceOf({ app, room }, user_id) {
  const known = [room.owner, room.male, room.female, ...room.applicants].find((row) => row?.user_id === user_id);
  if (!known && !faces.has(user_id)) faces.set(user_id, app.qlive.getUserinfo({ user_id }).catch(() => ({ user_id })));
  return known || faces.get(user_id);
}

/** A user's name, which opens the dialog about the user; of the own user it is text. */
export function nameButton(page, person, ...content) {
  if (person.user_id === page.app.me.user_id) return el("span", { class: "name" }, content);
  const label = t("person.open", { name: person.nickname || t("nameless") });
  return button(content, () => openPerson(page, person), { kind: "name", key: `person-${person.user_id}`, label });
}

async function openPerson(page, person) {
  const { live_id, role, room } = page;
  const { user_id } = person;
  const { qlive } = page.app;
  const name = person.nickname || t("nameless");
  const { followed } = await qlive.getUserinfo({ user_id }).catch(() => ({})); // refused between users with a block
  const mayLike = { 1: "female", 2: "male" }[page.app.me.gender] === seatOf({ room }, user_id) && role !== "host";
  const like_state = mayLike && 1 - (await qlive.getLike({ user_id })).like_state;
  const isBlocked = (await qlive.blocks()).some((row) => row.user_id === user_id);
  const isHost = role === "host";
  const isDeputy = room.deputies.includes(user_id);
  const isSeated = [room.owner, room.male, room.female].some((seat) => seat?.user_id === user_id);
  const mayMute = isHost || (page.isDeputy && !isDeputy && user_id !== room.owner.user_id);
  const isMuted = room.muted.some((row) => row.user_id === user_id);
  const action = (key, call, params) => {
    const act = async () => {
      await qlive[call]({ user_id, ...params });
      dialog.close();
      showToast(t("done"));
    };
    return button(t(`person.${key}`), act);
  };
  const muteButton = isMuted ? action("unmute", "mute", { live_id, minutes: 0 }) : action("mute", "mute", { live_id, minutes: 10 });
  const dialog = openDialog(
    name,
    { kind: "person" },
    picture(person.face_url, name, "face large"),
    el(
      "div",
      { class: "buttons" },
      mayLike && action(like_state ? "like" : "unlike", "like", { like_state }),
      followed !== undefined && action(followed ? "unfollow" : "follow", "follow", { on: !followed }),
      mayMute && muteButton,
      isHost && action(isDeputy ? "undeputy" : "deputy", "deputy", { live_id, on: !isDeputy }),
      (isHost || page.isDeputy) && !isSeated && action("invite", "invitation", { live_id, by: "app" }),
      action(isBlocked ? "unblock" : "block", "block", { blocked: !isBlocked }),
      button(t("report"), () => openReport(page, user_id, name), { kind: "danger" }),
    ),
  );
}

function openReport({ app, live_id }, user_id, name) {
  let reason = REASONS[0];
  const choose = (_, value) => () => (reason = value);
  const text = el("textarea", { id: "report-text", maxlength: 500, rows: 3 });
  const send = async () => {
    await app.qlive.report({ user_id, live_id, reason, text: text.value.trim() });
    dialog.close();
    showToast(t("report.done"));
  };
  const dialog = openDialog(
    t("report.title", { name }),
    { kind: "report" },
    radioGroup(t("report.reason"), "reason", REASONS, (value) => el("span", {}, t(`report.${value}`)), choose),
    el("div", { class: "field" }, el("label", { for: "report-text" }, t("report.text")), text),
    el("div", { class: "buttons" }, button(t("report.send"), send, { kind: "main" })),
  );
}
