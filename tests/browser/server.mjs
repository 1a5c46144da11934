// A server on loopback that serves the built page and bundles, logs every request, and fails as it is told to.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/**
 * Starts a server.
 *
 * @param folders  pairs of a path prefix and a folder; the first that fits is taken
 * @returns `url`; `log`, one `{path, range, status, sent}` a request; `fault`, to be set to a function of the path and of
 *   how often it was asked for, which returns nothing or one or more of
 *   `{status, dropAfter, stallAfter, until, corruptAt, cutTo, noRange, before, replace}`;
 *   and `close()`.
 */
export async function startServer(folders) {
  const log = [];
  const counts = new Map();
  const state = { fault: () => undefined };
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(request.url.split("?")[0]);
    const [prefix, folder] = folders.find(([prefix]) => path.startsWith(prefix));
    const name = normalize(path.slice(prefix.length) || "index.html");
    const count = (counts.get(path) ?? 0) + 1;
    counts.set(path, count);
    const fault = state.fault(path, count, request) ?? {};
    const entry = { path, range: request.headers.range, status: 0, sent: 0 };
    log.push(entry);
    let bytes = fault.status ? null : await readFile(join(folder, name)).catch(() => null);
    if (bytes === null) {
      entry.status = fault.status ?? 404;
      response.writeHead(entry.status, { "Content-Length": 0 }).end();
      return;
    }
    if (fault.replace) bytes = Buffer.from(fault.replace(bytes));
    if (fault.before) bytes = Buffer.concat([Buffer.from(fault.before), bytes]);
    if (fault.cutTo !== undefined) bytes = bytes.subarray(0, fault.cutTo);
    if (fault.corruptAt !== undefined) {
      bytes = Buffer.from(bytes);
      bytes[fault.corruptAt] ^= 1;
    }
    const headers = { "Content-Type": TYPES[extname(name)] ?? "application/octet-stream", "Cache-Control": "no-cache" };
    const from = fault.noRange ? null : /^bytes=(\d+)-$/.exec(request.headers.range ?? "");
    const start = from ? Number(from[1]) : 0;
    if (from) headers["Content-Range"] = `bytes ${start}-${bytes.length - 1}/${bytes.length}`;
    const body = bytes.subarray(start);
    entry.status = from ? 206 : 200;
    response.writeHead(entry.status, { ...headers, "Content-Length": body.length });
    const stop = fault.dropAfter ?? fault.stallAfter;
    if (stop === undefined) {
      entry.sent = body.length;
      response.end(body);
      return;
    }
    entry.sent = Math.min(stop, body.length);
    response.write(body.subarray(0, entry.sent));
    if (fault.dropAfter !== undefined) {
      // Later, so that the bytes are read before the connection breaks: a browser drops what is not read by then.
      setTimeout(() => response.destroy(), 2000);
    } else if (fault.until) {
      await fault.until;
      entry.sent = body.length;
      response.end(body.subarray(stop));
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    log,
    set fault(fault) {
      state.fault = fault ?? (() => undefined);
      counts.clear();
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(resolve);
      }),
  };
}
