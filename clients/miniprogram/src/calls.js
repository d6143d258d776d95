// Every API endpoint: client method name, HTTP method and path.

export const CALLS = {
  createUser: ["POST", "qlive_user/"],
  login: ["POST", "qlive_user/login/"],
  updateUserinfo: ["POST", "qlive_user/update_userinfo/"],
  getUserinfo: ["GET", "qlive_user/get_userinfo/"],
  getUserState: ["GET", "qlive_user/get_user_state/"],
  getUsersInfo: ["GET", "qlive_user/get_users_info/"],
  logout: ["GET", "qlive_user/logout/"],
  getLivelist: ["GET", "get_livelist/"],
  getPlayurl: ["GET", "get_playurl/"],
  getConfigs: ["GET", "get_configs/"],
  matchmakerEnter: ["POST", "qlive_room/matchmaker_enter/"],
  applyMicro: ["POST", "qlive_room/apply_micro/"],
  inviteMicro: ["POST", "qlive_room/invite_micro/"],
  acceptMicro: ["POST", "qlive_room/accept_micro/"],
  refuseMicro: ["POST", "qlive_room/refuse_micro/"],
  leaveMicro: ["GET", "qlive_room/leave_micro/"],
  leaveRoom: ["GET", "qlive_room/leave_room/"],
  putOut: ["POST", "qlive_room/put_out/"],
  liveEnd: ["POST", "qlive_room/live_end/"],
  rank: ["GET", "qlive_room/rank/"],
  dayRank: ["GET", "qlive_room/day_rank/"],
  getGifts: ["GET", "qlive_gift/"],
  pushGift: ["GET", "qlive_gift/push_gift/"],
  getBlocks: ["GET", "qlive_pay/"],
  pay: ["POST", "qlive_pay/"],
  withdraw: ["POST", "qlive_pay/withdraw/"],
  withdrawals: ["GET", "qlive_pay/withdrawals/"],
  cancelWithdrawal: ["POST", "qlive_pay/withdraw/cancel/"],
  like: ["POST", "qlive_like/"],
  getLike: ["GET", "qlive_like/"],
};

// Not to be repeated after a refusal that says when to try again: a WeChat code works once, each
// order is a new one, and gifts.js has its own retries.
const NOT_REPEATABLE = ["createUser", "login", "pay", "pushGift"];

export const isRepeatable = (name) => !NOT_REPEATABLE.includes(name);
