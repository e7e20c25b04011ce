// A server in front of another one that gives `bytesPerSecond` in all, and notes when the last byte of
// each file left.
import { createServer, request } from "node:http";

const SLICE_MS = 20;

export async function throttle(origin, bytesPerSecond) {
  const last = new Map();
  const waiting = [];
  const timer = setInterval(() => {
    let budget = (bytesPerSecond * SLICE_MS) / 1000;
    while (budget > 0 && waiting.length > 0) {
      const job = waiting.shift();
      const piece = job.bytes.subarray(0, Math.min(budget, 65536));
      job.bytes = job.bytes.subarray(piece.length);
      budget -= piece.length;
      job.response.write(piece);
      last.set(job.path, Date.now());
      if (job.bytes.length > 0) {
        waiting.push(job); // everyone in turn
      } else {
        job.done();
      }
    }
  }, SLICE_MS);
  const server = createServer((incoming, response) => {
    const { method, headers } = incoming;
    const path = incoming.url.replace(/\?.*/, "");
    const passed = request(`${origin}${incoming.url}`, { method, headers: { ...headers, host: new URL(origin).host } });
    passed.on("response", async (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      for await (const bytes of answer) {
        await new Promise((done) => waiting.push({ bytes, path, response, done }));
      }
      response.end();
    });
    passed.on("error", () => response.destroy());
    passed.end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = () => {
    clearInterval(timer);
    server.closeAllConnections();
    server.close();
  };
  return { origin: `http://127.0.0.1:${server.address().port}`, last, stop };
}
