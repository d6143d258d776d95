// Texts of the app by key: [Chinese, English]. Those of errors are the SDK's.

const sdk = require("qlive-miniprogram/texts");

const texts = {
  list_title: ["直播", "Live"],
  connecting: ["连接中……", "Connecting…"],
  loading: ["加载中……", "Loading…"],
  nobody_live: ["现在没有人开播", "No live rooms at the moment"],
  people_in: ["{n} 人在房间", "{n} in the room"],
  open_room: ["开播", "Go live"],
  nameless: ["（未起名）", "(no name)"],
  save: ["保存", "Save"],
  saved: ["已保存", "Saved"],
  cancel: ["取消", "Cancel"],
  my_data: ["导出我的数据", "Export my data"],
  building: ["正在生成，稍后再试", "Your copy is being prepared; try again soon"],
  leave: ["注销账号", "Delete my account"],
  leave_asks: ["七天后删除全部资料，金币和收益作废，不能恢复。七天之内可以撤销。", "In seven days everything is deleted, gold and income are lost, and this cannot be undone. Until then you can change your mind."],
  stay: ["撤销注销", "Keep my account"],
  close: ["关闭", "Close"],

  owner: ["红娘", "Host"],
  male: ["男嘉宾", "Man"],
  female: ["女嘉宾", "Woman"],
  free: ["虚位以待", "Free"],
  away: ["暂时离开，马上回来", "Away for a moment"],
  video_connecting: ["视频连接中……", "Video is connecting…"],
  video_weak: ["网络不稳定", "Weak network"],
  video_lost: ["视频断开，正在重连……", "Video lost; reconnecting…"],
  not_allowed: ["没有摄像头和麦克风权限，不能推流", "Not allowed to push: camera and microphone are off"],
  to_settings: ["去设置", "Settings"],
  take_off: ["请下麦", "Remove from mic"],

  line_connecting: ["连接中……", "Connecting…"],
  line_lost: ["连接断开，正在第 {n} 次重连……", "Connection lost; reconnecting, attempt {n}…"],
  line_resumed: ["已恢复，补回 {n} 条错过的消息", "Resumed; missed events replayed: {n}"],
  line_reset: ["离开太久，已重新取得房间", "Away for too long; the room was reloaded"],
  over_ended: ["直播已结束", "The live has ended"],
  over_moderation: ["画面违规，直播已结束", "The live has ended: its video is not allowed"],
  over_offline: ["没有网络，进不了直播间", "No network: the room cannot be entered"],
  over_put_out: ["你被请出了直播间", "You were removed from the room"],
  over_not_a_member: ["离开太久，你已不在直播间", "Away for too long: you are no longer in the room"],
  over_bad_frames: ["连接被服务器关闭", "The server closed the connection"],
  over_replaced: ["你在另一处打开了这里", "You have opened this room elsewhere"],
  here_again: ["在这里继续", "Continue here"],
  to_the_list: ["看看别的直播", "Other live rooms"],

  apply: ["申请上麦", "Apply for the mic"],
  withdraw_application: ["撤回申请", "Withdraw"],
  leave_mic: ["下麦", "Leave the mic"],
  end_live: ["结束直播", "End live"],
  end_asks: ["房间里的人会立即看到直播结束。", "Everyone in the room sees at once that it ended."],
  cover: ["换封面", "Cover"],
  rename: ["改名", "Rename"],
  room_name: ["直播间名称", "Name of the room"],
  invited_text: ["{name}邀请你上麦", "{name} invites you on mic"],
  seconds: ["还剩 {n} 秒", "{n} s left"],
  accept: ["接受", "Accept"],
  refuse: ["婉拒", "No, thanks"],
  queue: ["申请上麦", "Applying for the mic"],
  queue_empty: ["还没有人申请", "No applicants yet"],
  audience: ["观众", "Audience"],
  waiting: ["申请中", "applied"],
  invited: ["已邀请", "invited"],
  invite: ["邀请", "Invite"],
  turn_down: ["婉拒", "Decline"],
  put_out: ["请出", "Remove"],
  say: ["说点什么", "Say something"],
  send: ["发送", "Send"],
  muted_for: ["红娘把你禁言了，还剩 {time}", "Muted by the host, {time} left"],
  mute_all: ["全员禁言", "Mute everybody"],
  unmute_all: ["解除全员禁言", "Unmute everybody"],
  mute: ["禁言 10 分钟", "Mute for 10 minutes"],
  unmute: ["解除禁言", "Unmute"],
  was_put_out: ["被你请出", "removed by you"],
  by_operator: ["被平台请出", "removed by an operator"],
  let_in: ["放行", "Let in"],
  block: ["拉黑", "Block"],
  unblock: ["取消拉黑", "Unblock"],
  blocked: ["已拉黑", "blocked"],
  done: ["好了", "Done"],
  report: ["举报", "Report"],
  report_text: ["发生了什么（可不填）", "What happened (optional)"],
  reason_sexual: ["色情低俗", "Sexual content"],
  reason_abuse: ["辱骂骚扰", "Abuse"],
  reason_fraud: ["诈骗", "Fraud"],
  reason_minor: ["涉及未成年人", "Involves a minor"],
  reason_advert: ["广告", "Advertising"],
  reason_other: ["其他", "Other"],
  in_review: ["审核中", "in review"],
  cover_picture: ["封面", "The cover"],

  gifts: ["送礼", "Gifts"],
  nobody_to_give: ["麦上还没有别人可以收礼", "No other user is on mic to receive a gift"],
  cost: ["共 {cost} 金币，你有 {funds}", "{cost} gold in total; you have {funds}"],
  no_money: ["金币不足，还差 {n}", "Not enough gold: {n} short"],
  give: ["赠送", "Give"],
  gold: ["金币", "gold"],
  given: ["礼物已送达", "The gift has been delivered"],
  unanswered: ["礼物还没有回音，稍后会自动再问", "No response for the gift yet; it will be retried"],

  recharge: ["充值", "Recharge"],
  balance: ["金币余额", "Gold"],
  no_blocks: ["现在没有可以充值的档位", "No recharge options at the moment"],
  update_wechat: ["请更新微信和 iOS 后充值", "Please update WeChat and iOS to recharge"],
  paying: ["支付中……", "Paying…"],
  paid: ["到账，现有 {gold} 金币", "Arrived: you have {gold} gold"],
  pending: ["已提交，金币稍后到账", "Submitted; the gold will arrive"],
  cancelled: ["已取消支付", "Payment cancelled"],

  given_much: ["礼物已送达。已达上限的一半，之后每次都要确认", "Given. You have reached half of your limit: each further gift needs your confirmation"],
  confirm_gift: ["今天已送 {day} 金币，本月 {month} 金币，还要送吗？", "You have given {day} gold today and {month} this month. Give more?"],
  age_text: ["充值和送礼前，须核实你已满 18 岁；姓名和证件号不会保存", "Before you recharge or give, we have to verify that you are at least 18; name and ID number are not stored"],
  id_number: ["身份证号", "ID number"],
  verify: ["核实", "Verify"],
  age_verified: ["已核实", "Verified"],
  caps: ["送礼上限（金币）", "My gift limits (gold)"],
  cap_gift: ["单次上限", "Limit of one gift"],
  cap_day: ["每日上限", "Daily limit"],
  cap_month: ["每月上限", "Monthly limit"],
  cap_text: ["0 为没有自己的上限；调高 24 小时后生效", "0: no limit of your own; a higher one applies after 24 hours"],
  cap_later: ["{at} 起改为 {gold}", "from {at}: {gold}"],
  no_cap: ["没有上限", "no limit"],
  given_so_far: ["已送 {given}", "{given} given"],

  wallet: ["钱包", "Wallet"],
  matured: ["可提现收益", "Can be withdrawn"],
  income: ["全部收益", "Total income"],
  matured_text: ["收到的礼物要过几天才能提现", "Income of a gift can be withdrawn some days later"],
  amount: ["提现多少收益", "Income to withdraw"],
  real_name: ["真实姓名", "Real name"],
  real_name_text: ["与微信实名一致，加密保存", "As in WeChat; stored encrypted"],
  withdraw: ["提现", "Withdraw"],
  withdrawals: ["提现记录", "Withdrawals"],
  no_withdrawals: ["还没有提现", "No withdrawals yet"],
  statement_gold: ["金币明细", "Statement of gold"],
  statement_income: ["收益明细", "Statement of income"],
  statement_more: ["更早的明细", "Earlier entries"],
  what_recharge: ["充值", "Recharge"],
  what_gift: ["礼物", "Gift"],
  what_grant: ["平台发放", "Granted"],
  what_reversal: ["冲正", "Reversal"],
  what_withdrawal: ["提现", "Withdrawal"],
  what_return: ["提现退回", "Withdrawal returned"],
  what_settle: ["结清欠款", "Debt settled"],
  confirm: ["确认收款", "Confirm"],
  state_requested: ["待审核", "In review"],
  state_approved: ["已批准", "Approved"],
  state_submitted: ["处理中", "In progress"],
  state_awaiting_user: ["待收款", "Confirm it"],
  state_paid: ["已到账", "Paid"],
  state_returned: ["已退回", "Returned"],
  fail_name: ["姓名与微信实名不符", "The name differs from that of the WeChat account"],
  fail_limit: ["超过微信的收款限额", "A limit of the WeChat account is exceeded"],
  fail_expired: ["超过 24 小时没有确认", "Not confirmed within 24 hours"],
  fail_cancelled: ["已取消", "Cancelled"],
  fail_other: ["没有付款，请联系客服", "Not paid; contact support"],

  me: ["我的", "Me"],
  face: ["头像", "Profile picture"],
  nickname: ["昵称", "Nickname"],
  gender: ["性别", "Gender"],
  man: ["男", "Man"],
  woman: ["女", "Woman"],
  age: ["年龄", "Age"],
  height: ["身高（厘米）", "Height in cm"],
  area: ["地区", "Area"],
  choose: ["请选择", "Choose"],

  feed_welcome: ["你进入了直播间", "You have entered the room"],
  feed_micro_apply: ["{name} 申请上麦", "{name} applies for the mic"],
  feed_micro_invite: ["红娘邀请 {name} 上麦", "The host invites {name}"],
  feed_micro_accept: ["{name} 上麦了", "{name} is on mic"],
  feed_micro_refuse: ["{name} 的申请或邀请已结束", "{name}'s application or invitation has ended"],
  feed_micro_leave: ["{name} 下麦了", "{name} left the mic"],
  feed_member_away: ["{name} 的连接断开了", "{name} has lost the connection"],
  feed_member_back: ["{name} 回来了", "{name} is back"],
  feed_live_pause: ["红娘暂时离开", "The host is away for a moment"],
  feed_live_resume: ["红娘回来了", "The host is back"],
  feed_gift: ["{from} 送给 {to} {gift} ×{n}", "{from} gives {to} {gift} ×{n}"],
  feed_micro_leave_moderation: ["{name} 的画面违规，已下麦", "{name} is off the mic: the video is not allowed"],
  feed_mute_all_true: ["红娘开启了全员禁言", "The host has muted everybody"],
  feed_mute_all_false: ["红娘解除了全员禁言", "Everybody may write again"],
  feed_live_end: ["直播结束了", "The live has ended"],
};

const locale = (wx.getAppBaseInfo ? wx.getAppBaseInfo() : wx.getSystemInfoSync()).language || "zh_CN";
const language = locale.startsWith("zh") ? "zh" : "en";

/** Texts without values, for templates. */
const t = {};
for (const key of Object.keys(texts)) t[key] = texts[key][language === "zh" ? 0 : 1];

/** A text with values for its {names}. */
function format(key, values) {
  return t[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** What an error means to the user. */
function errorText(error) {
  return sdk.errorText(error, language) || error.message || error.errMsg;
}

function showToast(title) {
  wx.showToast({ title, icon: "none", duration: 3000 });
}

function showError(error) {
  showToast(errorText(error));
}

module.exports = { t, errorText, format, showError, showToast };
