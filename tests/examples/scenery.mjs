// A server that shows one moment of a room, for pictures: what the app asks for, and one snapshot.

const PEOPLE = ["月老小雅", "阿明", "秀英"].map((nickname, n) => ({
  user_id: String(10000001 + n),
  nickname,
  face_url: face(n),
  gender: n === 1 ? 1 : 2,
}));
const ME = { host: 0, male: 1, female: 2 };
const NAMES = ["志强", "晓琳", "建国", "婷婷", "浩然", "欣怡", "大伟", "文静", "子轩", "美玲"];

function face(n) {
  const hue = (n * 47 + 340) % 360;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 80"><rect width="80" height="80" fill="hsl(${hue},45%,72%)"/><circle cx="40" cy="32" r="14" fill="hsl(${hue},40%,90%)"/><path d="M12 80a28 26 0 0 1 56 0z" fill="hsl(${hue},40%,90%)"/></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

export const FACE = face(11);

const person = (n) => ({
  user_id: String(20000000 + n),
  nickname: NAMES[n % NAMES.length] + (n >= NAMES.length ? Math.floor(n / NAMES.length) : ""),
  face_url: face(n + 3),
  gender: (n % 2) + 1,
});

const VIEWER = { ...person(0), user_id: "30000000", nickname: "观众小周" };
const seat = (n, area, age) => ({ ...PEOPLE[n], area, age, away: false, play_url: `rtmp://play/${n}` });

/** `scene`: {role: host, male, female or viewer; applicants: a number; room: fields of the snapshot} */
function snapshotOf({ applicants = 0, invited, room }) {
  const rows = Array.from({ length: applicants }, (_, n) => {
    return { ...person(n), applied_at: 1, invited: n === 1, expires_at: Date.now() + 60_000 };
  });
  if (invited) rows.push({ ...VIEWER, applied_at: null, invited: true, expires_at: Date.now() + 60_000 });
  return {
    ...{ status: "live", room_name: "周五相亲·缘来是你", room_image: face(9), group_id: "g" },
    ...{ owner: seat(0, "310100", 36), male: seat(1, "440300", 30), female: seat(2, "330100", 27) },
    ...{ applicants: rows, audience_count: 128, num_list: [applicants, 66, 0, 62], muted: [], mute_all: false },
    ...{ visibility: "public", deputies: [] },
    ...room,
  };
}

const ownSnapshot = (scene) => ({ ...{ gold: me(scene).gold, income: me(scene).income, in_room: null }, invitations: scene.invitations || [] });

const SHAPES = ["M40 12c14 0 20 12 12 22S40 52 40 70c0-18-4-26-12-36S26 12 40 12z", "M40 8a22 26 0 1 1-1 0zM36 62h8l-4-6zM40 62v14", "M12 60V24l16 16 12-24 12 24 16-16v36z", "M8 50l8-18h34l14 14 8 4v8H8zM20 62a7 7 0 1 0 1 0zM58 62a7 7 0 1 0 1 0z", "M24 12h32l14 18-30 38L10 30z", "M40 8l6 20 20-6-14 16 14 16-20-6-6 20-6-20-20 6 14-16-14-16 20 6z"];
const picture = (n) =>
  `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 80"><path d="${SHAPES[n]}" fill="hsl(${(n * 55 + 345) % 360},75%,65%)"/></svg>`)}`;
const GIFTS = [["玫瑰", 1], ["气球", 10], ["皇冠", 66], ["跑车", 188], ["钻戒", 520], ["烟花", 999]].map(([name, gold], n) => {
  return { id: n + 1, name, gold, effect: "fly", image: picture(n) };
});

const CODE = `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 11 11"><rect x="-1" y="-1" width="11" height="11" fill="#fff"/>${Array.from({ length: 81 }, (_, n) => (n * n) % 7 < 3 ? `<rect x="${n % 9}" y="${Math.floor(n / 9)}" width="1" height="1"/>` : "").join("")}</svg>`)}`;

const me = ({ role }) => {
  const own = role in ME ? PEOPLE[ME[role]] : VIEWER;
  return { ...own, is_matchmaker: role === "host", area: "310100", age: 30, height: 170, gold: 520, income: 26, rate: "0.1", user_sig: "s", in_review: {}, followers: 1280, followed: role === "male" };
};

const lives = Array.from({ length: 6 }, (_, n) => ({
  ...{ id: n + 1, room_name: ["周五相亲·缘来是你", "江浙沪专场", "90 后聊天室", "深夜谈心", "同城交友", "再婚专场"][n] },
  ...{ room_image: face(n * 5), audience_count: 128 - n * 17, nickname: NAMES[n] },
  player: { boy: n % 2 ? face(4) : "", girl: n % 3 ? face(5) : "" },
}));

const FOLLOWED = [0, 1, 2, 3, 4].map((n) => ({ ...person(2 * n), nickname: `${NAMES[2 * n]}${n === 1 ? "的红娘直播间很长的名字" : ""}`, live_id: n < 2 ? n + 2 : null }));
const DATES = [[1, 2, "20:05", "20:31"], [3, 4, "20:40", "21:02"], [5, null, "21:10", "21:18"]].map(([male, female, from, to]) => {
  return { male: person(male), female: female && person(female), from: `2026-11-27T${from}:00`, to: `2026-11-27T${to}:00` };
});
const LIVES = [
  { live_id: 1, started_at: "2026-12-01T20:00:00", ended_at: null, reason: "", audience_peak: 128, audience_total: null, applications: 9, dates: DATES.slice(0, 1).map((date) => ({ ...date, to: null })), income: 320, followers: 6, matches: 0 },
  { live_id: 1, started_at: "2026-11-27T20:00:00", ended_at: "2026-11-27T22:15:00", reason: "host", audience_peak: 1880, audience_total: 12_400, applications: 46, dates: DATES, income: 52_000, followers: 214, matches: 2 },
  { live_id: 1, started_at: "2026-11-20T20:00:00", ended_at: "2026-11-20T20:04:00", reason: "offline", audience_peak: 3, audience_total: 5, applications: 0, dates: [], income: 0, followers: 0, matches: 0 },
];

/** Answers by path; those that are not listed are empty. */
const ANSWERS = {
  "/phone/login": { appId: "a", code: "c" },
  "/phone/private_message": (_, { activity_id }) => ({ encryptedData: `proof of ${activity_id}`, iv: "i" }),
  "qlive_user/login/": (scene) => ({ status: 0, token: "t", user_id: me(scene).user_id, sdk_app_id: "1" }),
  "qlive_user/get_userinfo/": me,
  "qlive_user/get_user_state/": () => ({ live_id: "", user_type: 0 }),
  "qlive_user/blocks/": () => [],
  "qlive_user/giving_limits/": () => ({
    ...{ gift: { own: 0, next: null, next_at: null, house: 5200 }, day: { given: 12, own: 0, next: null, next_at: null, house: 10000 } },
    month: { given: 320, own: 1000, next: null, next_at: null, house: 50000 },
  }),
  // Those who have applied come first, as with the server.
  "qlive_user/get_users_info/": ({ applied = 0, viewers = 8 }, { gender, page }) =>
    Array.from({ length: applied + viewers }, (_, n) => ({ ...person(2 * n + Number(gender) - 1), state: n < applied ? 1 : 0, blocked: false })).slice(8 * (page - 1), 8 * page),
  "qlive_user/export/": () => ({ status: "success", state: "ready", part: 1, parts: 1, export: { profile: [{ nickname: "观众小周" }] } }),
  "get_livelist/": ({ isEmpty }, { page }) => (page > 1 || isEmpty ? [] : lives),
  "get_playurl/": (scene) => ({ live_id: 1, group_id: "g", push_url: "rtmp://push", owner: seat(0, "", 36), male: seat(1, "", 30), female: seat(2, "", 27), anchor_info: {}, scene }),
  "qlive_room/invitation/": ({ isWechatAway }, { by }) => {
    const expires_at = "2026-12-01T20:15:00";
    const parts = { friend: { activity_id: "a" }, link: { link: "https://wxaurl.cn/abc?cq=t%3DK7aB" }, code: { picture: CODE } };
    if (by) return { ticket: "K7aB", expires_at, path: "pages/room/room?t=K7aB", ...(isWechatAway ? { unavailable: "wechat" } : parts[by]) };
    const row = (kind, user_id, uses, taken) => ({ ticket: kind, by: kind, inviter: "10000001", user_id, uses, taken, expires_at, path: "" });
    return [row("app", "20000003", 1, 0), row("friend", "", 1, 1), row("link", "", 2, 1), row("code", "", 2, 0)];
  },
  "qlive_room/bans/": () => [],
  "qlive_follow/": (scene, { on, page }) => (on === undefined ? (page > 1 || scene.isEmpty ? [] : FOLLOWED) : { followed: on, followers: 1 }),
  "qlive_match/": ({ isEmpty }, { page }) => (page > 1 || isEmpty ? [] : [3, 1, 5].map((n) => ({ ...person(n), live_id: 1, at: `2026-11-2${n}T21:30:00` }))),
  "qlive_room/lives/": ({ isEmpty }, { page }) => (page > 1 || isEmpty ? [] : LIVES),
  "qlive_like/": () => ({ like_state: 0 }),
  "qlive_gift/": () => ({ next: null, results: GIFTS }),
  "qlive_pay/": () => [[60, "6.00"], [300, "30.00"], [980, "98.00"], [1980, "198.00"]].map(([gold, price], n) => ({ id: n + 1, gold, price })),
  "qlive_pay/withdrawals/": () => ({ matured: 26, items: [], page: 1, has_more: false }),
};

/** The parts of `wx` that answer for the server; `phone.scene` is the moment that is shown. */
export function scenery(phone) {
  const sends = {}; // to the room, and to the user's channel
  const seqs = { room: 1, own: 1 };
  const ids = { room: () => ({ live_id: 1 }), own: () => ({ user_id: me(phone.scene).user_id }) };
  const frame = (key, type, data) => sends[key]({ type, ...ids[key](), epoch: "e", seq: seqs[key], ts: 1, data });
  const event = (key) => (type, data) => {
    if (type === "balance") return sends[key]({ type, ...ids[key](), ts: 1, data }); // not numbered
    seqs[key] += 1;
    frame(key, type, data);
  };
  phone.requests = 0;
  phone.paths = [];
  phone.calls = []; // [path, parameters], and each socket's URL
  phone.frame = event("room");
  phone.news = event("own");
  phone.bye = (code) => sends.room({ type: "bye", code, reason: "", retry_ms: 0, reconnect: false });
  phone.frames = () => {
    phone.frame("micro_accept", { ...PEOPLE[2], area: "330100", age: 27, play_url: "rtmp://play/2" });
    phone.frame("gift", { from: person(4), to: PEOPLE[2], gift: GIFTS[0], num: 9, gold: 9, request_id: "r1" });
    phone.frame("gift", { from: PEOPLE[1], to: PEOPLE[0], gift: GIFTS[4], num: 1, gold: 520, request_id: "r2" });
    phone.frame("member_back", { ...PEOPLE[1], role: "male" });
  };
  return {
    request({ url, data, success }) {
      const { pathname, searchParams } = new URL(url);
      const path = pathname.replace(/^.*\/wx\/api\/qlive\/|^\/sim/, "");
      const answer = ANSWERS[path];
      phone.paths.push(path);
      phone.calls.push([path, { ...Object.fromEntries(searchParams), ...data }]);
      const { refusals = {} } = phone.scene;
      const refusal = refusals[path] || (searchParams.has("live_id") && refusals[`${path}?live_id`]);
      const json = refusal ? { code: refusal, detail: refusal } : typeof answer === "function" ? answer(phone.scene, { ...Object.fromEntries(searchParams), ...data }) : answer;
      phone.requests += 1;
      setTimeout(() => {
        success({ statusCode: refusal ? 409 : 200, data: json || { detail: "OK" }, header: {} });
        setTimeout(() => setTimeout(() => (phone.requests -= 1), 0), 0); // after wx.nextTick of who has asked
      }, 0);
    },
    connectSocket({ url }) {
      phone.calls.push(["socket", url]);
      const { searchParams } = new URL(url);
      const keys = [searchParams.has("live_id") && "room", !searchParams.has("live_id") || searchParams.has("own") ? "own" : ""].filter(Boolean);
      const task = { onOpen: () => {}, onError: () => {}, onClose: () => {}, send: () => {}, close: () => {} };
      const begin = (onMessage) => {
        for (const key of keys) {
          sends[key] = (json) => onMessage({ data: JSON.stringify(json) });
          if (key === "room") seqs.room = 1;
          frame(key, "snapshot", key === "room" ? snapshotOf(phone.scene) : ownSnapshot(phone.scene));
        }
      };
      const isOff = phone.scene.state === "connecting";
      return { ...task, onMessage: (run) => isOff || setTimeout(() => begin(run), 0) };
    },
  };
}
