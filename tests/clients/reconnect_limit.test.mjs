// Real sockets with a manual clock.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import { browserPlatform, createClient } from "../../clients/miniprogram/src/qlive.js";
import { Clock } from "./fakes.mjs";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // RFC 6455 §1.3

function accept(key) {
  const answer = createHash("sha1").update(key + GUID).digest("base64");
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
    const timing = {
      now: () => clock.now,
      setTimeout: clock.setTimeout,
      clearTimeout: clock.clearTimeout,
      random: () => 0,
    };
    const base = `http://127.0.0.1:${server.address().port}/wx/api/qlive`;
    const client = createClient({ base, platform: { ...browserPlatform(), ...timing } });
    const room = client.room(1);
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
