// Opens the chat with a user whom the user has met.

function openTalk({ user_id, nickname }) {
  wx.navigateTo({ url: `/pages/talk/talk?user_id=${user_id}&nickname=${encodeURIComponent(nickname)}` });
}

module.exports = { openTalk };
