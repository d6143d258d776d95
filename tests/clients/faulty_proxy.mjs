// A proxy in front of the server that cuts connections and loses responses.

import { once } from "node:events";
import { createServer, request as forwardRequest } from "node:http";
import { connect } from "node:net";

export class FaultyProxy {
  constructor(address) {
    this._to = new URL(address);
    this._sockets = new Set();
    this.refusesSockets = false;
    this.giftUrls = []; // of the requests that give gifts
    this.faults = []; // (response, forward) => handles the next push_gift
    this._server = createServer((request, response) => this._forward(request, response));
    this._server.on("upgrade", (request, socket, head) => this._tunnel(request, socket, head));
  }

  async start() {
    await once(this._server.listen(0, "127.0.0.1"), "listening");
    this.address = `http://127.0.0.1:${this._server.address().port}`;
    return this;
  }

  /** Cuts every WebSocket without a close frame. */
  cutSockets() {
    for (const socket of this._sockets) socket.destroy();
  }

  stop() {
    this.cutSockets();
    this._server.close();
    this._server.closeAllConnections();
  }

  _forward(request, response) {
    const isGift = request.url.includes("push_gift");
    if (isGift) this.giftUrls.push(request.url);
    const forward = (reply) => {
      const { method, headers } = request;
      const { hostname, port } = this._to;
      request.pipe(forwardRequest({ hostname, port, path: request.url, method, headers }, reply));
    };
    const fault = isGift && this.faults.shift();
    if (fault) fault(response, forward);
    else {
      forward((reply) => {
        response.writeHead(reply.statusCode, reply.headers);
        reply.pipe(response);
      });
    }
  }

  _tunnel(request, socket, head) {
    socket.on("error", () => {});
    if (this.refusesSockets) {
      socket.destroy();
      return;
    }
    const server = connect(this._to.port, this._to.hostname);
    server.on("error", () => socket.destroy());
    socket.on("close", () => server.destroy());
    server.on("close", () => socket.destroy());
    this._sockets.add(socket);
    const headers = request.rawHeaders.reduce((text, header, n) => text + header + (n % 2 ? "\r\n" : ": "), "");
    server.write(`GET ${request.url} HTTP/1.1\r\n${headers}\r\n`);
    server.write(head);
    socket.pipe(server).pipe(socket);
  }
}

/** Responds like a server that is unavailable. */
export function unavailable(response) {
  response.writeHead(503, { "Content-Type": "application/json", "Retry-After": "1" });
  response.end(JSON.stringify({ detail: "Later.", code: "away" }));
}

/** Forwards the request and answers 503 instead of the server's response. */
export function loseResponse(response, forward) {
  forward((reply) => {
    reply.resume();
    reply.on("end", () => unavailable(response));
  });
}

/** Forwards the request and resets the connection instead of responding. */
export function resetConnection(response, forward) {
  forward((reply) => {
    reply.resume();
    reply.on("end", () => response.destroy());
  });
}
