// Pictures chosen from a file, the dialog of the own profile, and the host's of the room.

import { picture, openDialog } from "/demo/dom.js";
import { button, el, fill } from "/demo/shared/dom.js";
import { showToast } from "/demo/shared/toast.js";
import { t } from "/demo/i18n.js";

/** What the user has proposed and others do not see yet, else what they see. */
export const own = (me, field, shown) => me.in_review[field] || shown;
/** Marks a value that is in review. */
export const reviewTag = (me, field) => me.in_review[field] && el("span", { class: "tag" }, t("in_review"));

const TYPES = "image/jpeg,image/png,image/webp";

/** A picture that is also a file field named `label`; `file()` is the chosen one, if any. */
export function pictureField(shown, label) {
  const preview = el("span", {}, shown);
  const input = el("input", { type: "file", accept: TYPES, "aria-label": label });
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (file) fill(preview, el("img", { class: shown.className.replace(" letter", ""), src: await dataUrl(file), alt: "" }));
  });
  return { node: el("label", { class: "picture-field" }, preview, input), file: () => input.files[0] };
}

function dataUrl(file) {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.readAsDataURL(file);
  });
}

export async function openProfile(app) {
  const { me, qlive } = app;
  const face = pictureField(picture(own(me, "face_url", me.face_url), me.nickname, "face large"), t("profile.face"));
  const height = el("input", { id: "height", type: "number", min: 100, max: 250, value: me.height || "" });

  async function save() {
    if (!height.reportValidity()) return;
    await qlive.updateUserinfo({ height: height.value ? Number(height.value) : null });
    if (face.file()) await qlive.uploadFace(face.file());
    await app.refresh();
    dialog.close();
    showToast(t("profile.saved"));
  }

  const blocks = await qlive.blocks();
  const dialog = formDialog("profile", [face.node, reviewTag(me, "face_url")], "height", height, null, save);
  const body = dialog.querySelector(".dialog-body");
  if (blocks.length) body.append(blockList(blocks, qlive));
  body.append(ownData(app, dialog));
}

/** The users whom the user has blocked; each leaves the list as the block is lifted. */
function blockList(people, qlive) {
  const row = ({ user_id, nickname, face_url }) => {
    const name = nickname || t("nameless");
    const unblock = async () => {
      await qlive.block({ user_id, blocked: false });
      item.remove();
      showToast(t("done"));
    };
    const item = el(
      "li",
      {},
      picture(face_url, name, "face small"),
      el("span", { class: "name" }, name),
      button(t("person.unblock"), unblock, { kind: "small", label: t("unblock_name", { name }) }),
    );
    return item;
  };
  return el("div", { class: "audience" }, el("h3", {}, t("blocks")), el("ul", {}, people.map(row)));
}

/** A copy of all data about the user; the deletion of the user, or the end of one that is planned. */
function ownData(app, dialog) {
  const { me, qlive } = app;
  const at = me.delete_at;

  async function copy() {
    const data = await qlive.myData();
    if (!data) return showToast(t("own_data.building"));
    const file = encodeURIComponent(JSON.stringify(data, null, 1));
    el("a", { href: `data:application/json,${file}`, download: `qlive-${me.user_id}.json` }).click();
  }

  async function remove() {
    await qlive.delete({ cancel: Boolean(at) });
    await app.refresh();
    dialog.close();
    showToast(t(at ? "own_data.kept" : "own_data.planned"));
  }

  return el(
    "details",
    { class: "own-data", open: Boolean(at) },
    el("summary", {}, t("own_data")),
    el("p", { class: "hint" }, t(at ? "own_data.leaving" : "own_data.warning", { at: String(at).replace("T", " ") })),
    el("div", { class: "buttons" }, button(t("own_data.copy"), copy)),
    el("div", { class: "buttons" }, button(t(at ? "own_data.keep" : "own_data.delete"), remove, { kind: at ? "main" : "danger" })),
  );
}

export async function openRoomInfo(page, app) {
  const { room, live_id } = page;
  const { qlive } = app;
  const me = await app.refresh(); // what is in review may have been decided
  const shown = own(me, "room_name", room.room_name);
  const cover = pictureField(picture(own(me, "room_image", room.room_image), shown, "cover"), t("room_info.cover"));
  const name = el("input", { id: "room-name", maxlength: 20, value: shown, autocomplete: "off" });

  async function save() {
    const text = name.value.trim();
    if (text !== shown) await qlive.updateRoom({ live_id, room_name: text || null });
    if (cover.file()) await qlive.uploadCover(live_id, cover.file());
    dialog.close();
    showToast(t("profile.saved"));
  }

  const dialog = formDialog("room_info", [cover.node, reviewTag(me, "room_image")], "room-name", name, reviewTag(me, "room_name"), save);
}

/** Texts: `kind`, `kind`.file_text, `kind`.field. */
function formDialog(kind, file, id, field, tag, save) {
  return openDialog(
    t(kind),
    { kind: "profile" },
    el("div", { class: "field" }, file, el("p", { class: "hint" }, t(`${kind}.file_text`))),
    el("div", { class: "field" }, el("label", { for: id }, t(`${kind}.field`), tag), field),
    el("div", { class: "buttons" }, button(t("profile.save"), save, { kind: "main" })),
  );
}
