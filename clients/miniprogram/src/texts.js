// Texts of errors for users. A module of its own: an app with texts of its own does not load it.

/** By error code of the server, or of the chat: [Chinese, English]. */
export const REFUSALS = {
  insufficient_gold: ["金币不足，请先充值", "Not enough gold; please recharge"],
  over_gift_cap: ["超过单次送礼上限", "This exceeds the limit of one gift"],
  over_day_cap: ["超过每日送礼上限，明天再送吧", "This exceeds the daily limit; come back tomorrow"],
  over_month_cap: ["超过每月送礼上限", "This exceeds the monthly limit"],
  cooling_off: ["送得有点快，休息几分钟再送吧", "That was a lot in a short time; take a break of a few minutes"],
  confirmation_needed: ["已经送了不少，请再次赠送并确认", "You have given a lot: give again and confirm"],
  age_unverified: ["成年核实未通过：须是年满 18 岁的本人，或联系客服", "Not verified: you must be at least 18 and enter your own name and ID number, or contact customer service"],
  faceid_away: ["核实服务暂时没有回应", "The verification service is not responding"],
  not_live: ["这个直播间没有开播", "This room is not live"],
  seat_taken: ["这个位置已经有人了", "This seat is taken"],
  queue_full: ["排队的人太多了，请稍后再试", "Too many users are waiting; try again later"],
  not_admitted: ["请先申请，或等红娘邀请", "Apply first, or wait for the invitation"],
  too_many_deputies: ["房管最多三位", "A room has three deputies at most"],
  no_gender: ["请先设置性别，再上麦", "Set your gender to come on mic"],
  on_mic: ["已经在麦上了", "Already on mic"],
  gender_in_use: ["上麦或申请时不能改性别", "The gender cannot change on mic or in the queue"],
  invitation_required: ["这是专属房，需要邀请", "This live is private; you need an invitation"],
  followers_only: ["只有红娘的粉丝能进这个直播间", "Only followers of the host can enter this live"],
  invitation_invalid: ["邀请已失效，或不是发给你的", "This invitation is not valid any more, or not for you"],
  room_full: ["直播间已满", "This live is full"],
  too_many_invitations: ["未使用的邀请太多，请先收回一些", "Too many invitations are open; withdraw some of them"],
  too_many_mutes: ["被禁言的人太多，请先解除一些", "Too many users are muted; lift some of the mutes"],
  put_out: ["你被请出了这个直播间，稍后再来", "You were removed from this room; come back later"],
  not_matchmaker: ["只有红娘可以开播", "Only matchmakers can open a room"],
  not_in_room: ["你不在这个直播间", "You are not in this room"],
  host_is_live: ["请先结束自己的直播", "End your own live first"],
  host_must_end: ["红娘要先结束直播", "The host has to end the live"],
  banned: ["账号已被封禁", "This account has been banned"],
  content_refused: ["这个名字或图片不能用，请换一个", "This name or picture is not allowed; choose another one"],
  muted: ["你被禁言了", "You are muted"],
  muted_all: ["红娘开启了全员禁言", "The host has muted everybody"],
  words: ["有不能发的词，没有发出去", "Not sent: it has a blocked word"],
  imitation: ["看起来像礼物或系统消息，没有发出去", "Not sent: it looks like a gift or a message of the room"],
  rate: ["发得太快了，请稍后再发", "Not sent: too fast"],
  too_many_follows: ["关注的人太多了，请先取消一些", "You follow too many users; stop following one first"],
  too_many_blocks: ["拉黑的人太多了", "You have blocked too many users"],
  blocked: ["你和对方之间不能这样操作", "This is not possible between you and this user"],
  high_risk: ["你可以观看，但不能上麦或送礼", "You can watch, but neither go on mic nor give gifts"],
  stream_forbidden: ["你的画面违规，暂时不能上麦", "Your video was stopped for what it showed; try again later"],
  no_such_room: ["没有这个直播间", "There is no such room"],
  too_many: ["太快了，请稍后再试", "Too fast; try again later"],
  token: ["登录已失效，请重新登录", "Please sign in again"],
  pay_away: ["支付服务暂时没有回应", "The payment service is unavailable"],
  too_many_orders: ["未支付的订单太多，请先支付，或等它们过期", "Too many unpaid orders; pay one, or wait until they expire"],
  rate_missing: ["暂时不能送礼，请稍后再试", "Gifts cannot be given at the moment; try again later"],
  im_refused: ["聊天服务拒绝了请求，请联系客服", "The chat service refused the request; contact support"],
  withdraw_off: ["提现暂未开放", "Withdrawals are not available at the moment"],
  too_little: ["低于最低提现金额", "Below the least that can be withdrawn"],
  income_not_matured: ["可提现的收益不足", "Not enough income that can be withdrawn"],
  over_limit: ["超过提现限额，请少提一些，或明天再试", "Above the limit; withdraw less, or try tomorrow"],
  real_name_needed: ["这笔金额需要真实姓名", "A sum like this needs your real name"],
  withdrawals_stopped: ["提现已暂停，请联系客服", "Your withdrawals are stopped; contact support"],
  not_cancellable: ["已到账或已退回，不能取消", "It is paid or returned already"],
  wechat_away: ["微信暂时没有回应", "WeChat is unavailable"],
  upload_missing: ["图片没有上传成功，请再试一次", "The picture was not uploaded; try again"],
  upload_refused: ["只能用 5 MB 以内、边长不超过 4096 像素的 JPEG、PNG 或 WebP 静态图片", "Only still JPEG, PNG and WebP pictures of at most 5 MB and 4,096 pixels a side"],
  uploads_off: ["暂时不能上传图片", "Pictures cannot be uploaded at the moment"],
  cos_away: ["图片服务暂时没有回应", "The picture service is unavailable"],
  bad_parameter: ["填写的内容不对", "Some input is invalid"],
  bad_request: ["请求的内容看不懂，请升级小程序", "The request was not understood; update the app"],
  wrong_method: ["这个版本的小程序太旧了，请升级", "This version of the app is too old; update it"],
  too_large: ["内容太大，没有发出去", "Not sent: it is too large"],
  encrypted_data: ["微信资料没有读到，请重新登录", "WeChat's profile could not be read; sign in again"],
  unknown_app: ["这个小程序没有接入本服务", "This app is not known to the server"],
  wechat_code: ["微信登录已过期，请再试一次", "WeChat's login has expired; try again"],
  wechat_blocked: ["微信认为这次登录有风险，请稍后再试", "WeChat considers this login a risk; try again later"],
  log_in_again: ["请重新登录后再试", "Sign in again, then repeat it"],
  no_such_block: ["这个充值档位已经下架", "This amount is no longer for sale"],
  no_such_gift: ["这个礼物已经下架", "This gift is no longer available"],
  no_such_page: ["没有更多了", "There is no more"],
  no_such_user: ["没有这个用户", "There is no such user"],
  no_such_withdrawal: ["没有这笔提现", "There is no such withdrawal"],
  not_host: ["只有这个直播间的红娘可以操作", "Only the host of the room can do this"],
  operator_ban: ["这是平台的封禁，红娘不能放行", "Only an operator can let this user in again"],
  request_id_reused: ["这笔操作已经提交过了", "This was sent before, with other values"],
  storage_away: ["服务器正在恢复，请稍后再试", "The server is recovering; try again later"],
  try_again: ["现在人多，请再试一次", "The server is busy; try again"],
  internal: ["服务器出了点问题，请稍后再试", "Something went wrong on the server; try again later"],
  im_away: ["聊天服务暂时没有回应", "The chat service is unavailable"],
  refused: ["服务器没有接受这个请求", "The server did not accept the request"],
};

/** By name of a field that users fill in: [Chinese, English]. */
const FIELDS = {
  nickname: ["昵称", "nickname"],
  gender: ["性别", "gender"],
  age: ["年龄", "age"],
  area: ["地区", "place"],
  height: ["身高", "height"],
  face_url: ["头像", "picture"],
  room_name: ["直播间名称", "name of the room"],
  room_image: ["封面", "cover"],
  name: ["姓名", "name"],
  real_name: ["真实姓名", "real name"],
  id_number: ["身份证号", "ID number"],
  gift_gold: ["单次上限", "limit of one gift"],
  day_gold: ["每日上限", "daily limit"],
  month_gold: ["每月上限", "monthly limit"],
  income: ["提现金额", "sum"],
  num: ["数量", "number"],
  minutes: ["分钟数", "minutes"],
  text: ["说明", "text"],
  reason: ["原因", "reason"],
};

const SERVER_AWAY = ["服务器暂时没有回应，请稍后再试", "The server is unavailable; try again later"];
const UNREACHABLE = ["没有网络，服务器没有回应", "No network: no response from the server"];
const UNANSWERED = ["礼物还没有回音，稍后会自动再问", "No response for the gift yet; it will be retried"];
const PAYMENT_FAILED = ["支付没有成功（{code}）", "The payment failed ({code})"];
const UPLOADS = {
  too_big: ["图片超过 5 MB", "The picture has more than 5 MB"],
  wrong_type: ["请选 JPEG、PNG 或 WebP 图片", "Choose a JPEG, PNG or WebP picture"],
  refused: ["图片没有传上去，请再试一次", "The picture was not uploaded; try again"],
};

/** Text of an error of the SDK in "zh" or "en"; null for any other error. */
export function errorText(error, language) {
  const column = language === "en" ? 1 : 0;
  if (error.name === "Unreachable") return UNREACHABLE[column];
  if (error.name === "Unanswered") return UNANSWERED[column];
  if (error.name === "UploadFailed") return UPLOADS[error.code][column];
  if (error.name === "PaymentFailed") return PAYMENT_FAILED[column].replace("{code}", error.code);
  if (error.name !== "Refused") return null;
  const text = (REFUSALS[error.code] || (error.status >= 500 ? SERVER_AWAY : REFUSALS.refused))[column];
  const fields = Object.keys(error.fields || {}).filter((name) => FIELDS[name]);
  if (!fields.length) return text;
  const labels = fields.map((name) => FIELDS[name][column]);
  return column ? text + ": " + labels.join(", ") : text + "：" + labels.join("、");
}
