// Stand-in for @tencentcloud/lite-chat: the simulated IM asks the server about each message, as the real one does,
// and all windows of this browser receive what the server allows.

export function liteChat(app) {
  const windows = new BroadcastChannel("qlive.demo.chat");
  const ignored = async () => {};
  let account = {};

  async function post(content) {
    const { ErrorCode: code, ErrorInfo: info } = await app.network.post("/sim/phone/chat", { ...account, ...content });
    if (code) throw Object.assign(new Error(info), { name: "ChatFailed", code });
  }

  const chat = {
    EVENT: { MESSAGE_RECEIVED: "message", KICKED_OUT: "kicked", SDK_READY: "ready" },
    TYPES: { CONV_GROUP: "GROUP", GRP_AVCHATROOM: "AVChatRoom", MSG_TEXT: "TIMTextElem" },
    ...{ create: () => chat, isReady: () => true, logout: ignored, joinGroup: ignored, quitGroup: ignored },
    on: (name, listener) => windows.addEventListener(name, ({ data }) => app.network.down || listener({ data: [data] })),
    login({ userID, userSig }) {
      account = { user_id: userID, user_sig: userSig };
      return post({});
    },
    createTextMessage({ to, payload }) {
      return { type: "TIMTextElem", to, payload, from: app.me.user_id, time: Date.now() / 1000 };
    },
    async sendMessage(message) {
      await post({ group_id: message.to, body: [{ MsgType: message.type, MsgContent: { Text: message.payload.text } }] });
      windows.postMessage(message);
    },
  };
  return chat;
}
