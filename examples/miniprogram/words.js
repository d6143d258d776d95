// Texts of the app by key: [Chinese, English].

const words = {
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
  over_offline: ["没有网络，进不了直播间", "No network: the room cannot be entered"],
  over_put_out: ["你被请出了直播间", "You were removed from the room"],
  over_not_inside: ["离开太久，你已不在直播间", "Away for too long: you are no longer in the room"],
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
  invited_says: ["{name}邀请你上麦", "{name} invites you on mic"],
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
  pay_failed: ["支付没有成功（{code}）", "The payment failed ({code})"],

  wallet: ["钱包", "Wallet"],
  matured: ["可提现收益", "Can be withdrawn"],
  income: ["全部收益", "Total income"],
  matured_says: ["收到的礼物要过几天才能提现", "Income of a gift can be withdrawn some days later"],
  amount: ["提现多少收益", "Income to withdraw"],
  real_name: ["真实姓名", "Real name"],
  real_name_says: ["与微信实名一致，加密保存", "As in WeChat; stored encrypted"],
  withdraw: ["提现", "Withdraw"],
  withdrawals: ["提现记录", "Withdrawals"],
  no_withdrawals: ["还没有提现", "No withdrawals yet"],
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
  feed_live_end: ["直播结束了", "The live has ended"],

  server_away: ["服务器暂时没有回应，请稍后再试", "The server is unavailable; try again later"],
  unreachable: ["没有网络，服务器没有回应", "No network: no response from the server"],
  upload_too_big: ["图片太大，最多 5 MB", "The picture is too big: at most 5 MB"],
  upload_wrong_type: ["只能用 JPEG、PNG 或 WebP 图片", "Only JPEG, PNG and WebP pictures"],
  upload_refused: ["图片没有上传成功", "The picture was not uploaded"],
  refused_insufficient_gold: ["金币不足，请先充值", "Not enough gold; please recharge"],
  refused_no_such_room: ["没有这个直播间", "There is no such room"],
  refused_on_mic: ["已经在麦上了", "Already on mic"],
  refused_not_live: ["这个直播间没有开播", "This room is not live"],
  refused_seat_taken: ["这个位置已经有人了", "This seat is taken"],
  refused_queue_full: ["排队的人太多了，请稍后再试", "Too many users are waiting; try again later"],
  refused_not_admitted: ["请先申请，或等红娘邀请", "Apply first, or wait for the invitation"],
  refused_no_gender: ["未设性别，不能上麦；请在“我的”里设置", "Set your gender under “Me” to come on mic"],
  refused_gender_in_use: ["上麦或申请时不能改性别", "The gender cannot change on mic or in the queue"],
  refused_put_out: ["红娘把你请出了这个直播间，稍后再来", "The host has removed you; come back later"],
  refused_not_in_room: ["你不在这个直播间", "You are not in this room"],
  refused_host_is_live: ["请先结束自己的直播", "End your own live first"],
  refused_banned: ["账号已被封禁", "This account has been banned"],
  refused_too_many: ["太快了，请稍后再试", "Too fast; try again later"],
  refused_token: ["登录已失效，请重新登录", "Please sign in again"],
  refused_too_many_orders: ["未支付的订单太多，请稍后再试", "Too many unpaid orders; try again later"],
  refused_withdraw_off: ["提现暂未开放", "Withdrawals are not available at the moment"],
  refused_too_little: ["低于最低提现金额", "Below the least that can be withdrawn"],
  refused_income_not_matured: ["可提现的收益不足", "Not enough income that can be withdrawn"],
  refused_over_limit: ["超过提现限额，请少提一些，或明天再试", "Above the limit; withdraw less, or try tomorrow"],
  refused_real_name_needed: ["这笔金额需要真实姓名", "A sum like this needs your real name"],
  refused_withdrawals_stopped: ["提现已暂停，请联系客服", "Your withdrawals are stopped; contact support"],
  refused_not_cancellable: ["已到账或已退回，不能取消", "It is paid or returned already"],
  refused_pay_away: ["支付服务暂时没有回应", "The payment service is unavailable"],
  refused_wechat_away: ["微信暂时没有回应", "WeChat is unavailable"],
  refused_cos_away: ["图片服务暂时没有回应", "The picture service is unavailable"],
  refused_uploads_off: ["暂时不能上传图片", "Pictures cannot be uploaded at the moment"],
  refused_upload_missing: ["图片没有上传成功，请再试一次", "The picture was not uploaded; try again"],
  refused_upload_refused: ["只能用 5 MB 以内的 JPEG、PNG 或 WebP 图片", "Only JPEG, PNG and WebP pictures of at most 5 MB"],
  refused_bad_parameter: ["填写的内容不对", "Some input is invalid"],
};

const language = (wx.getAppBaseInfo ? wx.getAppBaseInfo() : wx.getSystemInfoSync()).language || "zh_CN";
const column = language.startsWith("zh") ? 0 : 1;

/** Texts without values, for templates. */
const t = {};
for (const key of Object.keys(words)) t[key] = words[key][column];

/** A text with values for its {names}. */
function say(key, values) {
  return t[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** What an error means to the user. */
function errorText(error) {
  if (error.name === "Unreachable") return t.unreachable;
  if (error.name === "Unanswered") return t.unanswered;
  if (error.name === "UploadFailed") return t[`upload_${error.code}`];
  if (error.name === "PaymentFailed") return say("pay_failed", { code: error.code });
  if (error.status >= 500) return t[`refused_${error.code}`] || t.server_away;
  return t[`refused_${error.code}`] || error.message || error.errMsg;
}

function toast(title) {
  wx.showToast({ title, icon: "none", duration: 3000 });
}

function tell(error) {
  toast(errorText(error));
}

module.exports = { t, errorText, say, tell, toast };
