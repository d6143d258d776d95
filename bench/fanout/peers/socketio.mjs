// socket.io: `emit` to the namespace.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { EVENT, serveControl } from "./control.mjs";

const { Server } = createRequire(process.env.BENCH_MODULES)("socket.io");
const http = createServer();
const io = new Server(http, { transports: ["websocket"], pingInterval: 3_600_000 });
const data = JSON.parse(EVENT);

http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  serveControl(http.address().port, () => io.emit("event", data));
});
