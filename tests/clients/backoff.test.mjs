import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import { backoffDelay, limitAttempts, retryDelay } from "../../clients/miniprogram/src/backoff.js";
import { browserPlatform, createClient } from "../../clients/miniprogram/src/qlive.js";
import { Clock } from "./fakes.mjs";

test("the delay is random, at least 100 ms, and its maximum doubles from half a second to 20 seconds", () => {
  const longest = [0, 1, 2, 3, 4, 5, 6, 7, 1000].map((failures) => backoffDelay(failures, () => 1));
  assert.deepEqual(longest, [500, 1000, 2000, 4000, 8000, 16000, 20000, 20000, 20000]);
  assert.equal(backoffDelay(5, () => 0.5), 8000);
  assert.equal(backoffDelay(5, () => 0), 100);
});

test("the first delay is that of the server, later ones the longer of its and the backoff", () => {
  for (const [failures, asked, delay] of [[0, 7000, 7000], [0, 20, 100], [3, 1000, 4000], [3, 9000, 9000]]) {
    assert.equal(retryDelay(failures, asked, () => 1), delay);
  }
  for (const invalid of [0, undefined, NaN, -5]) assert.equal(retryDelay(2, invalid, () => 1), 2000);
});

test("the eleventh attempt waits until a minute after the first", () => {
  const attempts = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => 1000 + n * 100);
  assert.equal(limitAttempts(100, attempts, 2000), 59000);
  assert.equal(limitAttempts(100, attempts.slice(1), 2000), 100);
  assert.equal(limitAttempts(100, attempts, 70000), 100);
});

// ---- real sockets with a manual clock

function accept(key) {
  const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // RFC 6455 §1.3
  const answer = createHash("sha1").update(key + guid).digest("base64");
  const lines = ["HTTP/1.1 101 Go", "Upgrade: websocket", "Connection: Upgrade"];
  return [...lines, `Sec-WebSocket-Accept: ${answer}`, "", ""].join("\r\n");
}

const servers = {
  "accepts a socket and closes it": (socket, key) =>
    socket.write(accept(key), () => socket.end(Buffer.from([0x88, 2, 0x03, 0xe9]))),
  "accepts a socket and cuts it": (socket, key) =>
    socket.write(accept(key), () => socket.destroy()),
  "answers 503": (socket) =>
    socket.end("HTTP/1.1 503 Later\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
};

for (const [behaviour, serve] of Object.entries(servers)) {
  test(`a server that ${behaviour} gets at most ten attempts a minute`, async () => {
    let connections = 0;
    const server = createServer();
    server.on("upgrade", (request, socket) => {
      connections += 1;
      socket.on("error", () => {});
      serve(socket, request.headers["sec-websocket-key"]);
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const clock = new Clock();
    const { setTimeout, clearTimeout } = clock;
    const timing = { now: () => clock.now, setTimeout, clearTimeout, random: () => 0 };
    const base = `http://127.0.0.1:${server.address().port}/wx/api/qlive`;
    const room = createClient({ base, platform: { ...browserPlatform(), ...timing } }).room(1);
    const until = clock.now + 60_000;
    let onLost;
    room.on("connection", ({ phase }) => phase === "reconnecting" && onLost());
    const afterLoss = (attempt) =>
      new Promise((resolve) => {
        onLost = resolve;
        attempt();
      });
    await afterLoss(() => room.open());
    while (clock.next < until) await afterLoss(() => clock.runNext());
    room.close();
    server.close();
    assert.ok(connections > 3 && connections <= 10, `${connections} attempts`);
  });
}
