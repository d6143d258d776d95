// Stand-in for @tencentcloud/lite-chat: groups and pairs of phones in one process.

const network = new BroadcastChannel("lite-chat");
const listeners = {};
let user = "";

network.unref();
network.onmessage = ({ data }) => {
  if (data.kicked) return listeners.kicked.forEach((listener) => listener({ data: { type: data.kicked } }));
  if (data.to !== chat.group && data.to !== user) return;
  for (const listener of listeners.message || []) listener({ data: [data] });
};

const chat = {
  group: "",
  on: (name, listener) => (listeners[name] = (listeners[name] || []).concat([listener])),
  isReady: () => true,
  login: async ({ userID, userSig }) => {
    if (!userSig) throw new Error("no user_sig");
    user = userID;
  },
  logout: async () => {},
  joinGroup: async ({ groupID }) => (chat.group = groupID),
  quitGroup: async () => (chat.group = ""),
  getMessageList: async () => ({ data: { messageList: chat.history || [] } }),
  createTextMessage: ({ to, conversationType, payload }) => ({ type: "text", to, conversationType, payload, from: user, nick: "官方客服", avatar: "", time: Date.now() / 1000 }),
  sendMessage: async (message) => network.postMessage(message),
};

module.exports = {
  EVENT: { MESSAGE_RECEIVED: "message", KICKED_OUT: "kicked", SDK_READY: "ready" },
  TYPES: { CONV_C2C: "C2C", CONV_GROUP: "GROUP", GRP_AVCHATROOM: "AVChatRoom", MSG_TEXT: "text" },
  create: () => chat,
};
