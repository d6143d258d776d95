// Permission for camera and microphone, which <live-pusher> needs.

/** Whether the user permits both. WeChat asks once; after a refusal only its settings change it. */
async function mayPush() {
  return (await allows("scope.camera")) && (await allows("scope.record"));
}

function allows(scope) {
  return new Promise((resolve) => {
    wx.authorize({ scope, success: () => resolve(true), fail: () => resolve(false) });
  });
}

module.exports = { mayPush };
