// A registry of npm packages for tests: the tarballs of a folder, and nothing else.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

/** @param {string} folder @returns {Promise<{ url: string, asked: string[], stop: () => void }>} */
export async function serveRegistry(folder) {
  const packages = new Map();
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".tgz"))) {
    const content = readFileSync(join(folder, file));
    const fields = execFileSync("tar", ["xzOf", join(folder, file), "package/package.json"], { encoding: "utf8" });
    packages.set(file, { content, fields: JSON.parse(fields) });
  }
  const asked = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url.slice(1));
    asked.push(path);
    const file = packages.get(path.split("/").at(-1));
    if (file !== undefined) {
      response.writeHead(200, { "content-type": "application/octet-stream" }).end(file.content);
      return;
    }
    const found = [...packages].find(([, { fields }]) => fields.name === path);
    if (found === undefined) {
      response.writeHead(404, { "content-type": "application/json" }).end('{"error":"Not found"}');
      return;
    }
    const [tarball, { content, fields }] = found;
    const dist = {
      tarball: `http://${request.headers.host}/${tarball}`,
      shasum: createHash("sha1").update(content).digest("hex"),
      integrity: `sha512-${createHash("sha512").update(content).digest("base64")}`,
    };
    const { name, version } = fields;
    const packument = { name, "dist-tags": { latest: version }, versions: { [version]: { ...fields, dist } }, time: { [version]: "2020-01-01T00:00:00.000Z" } };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(packument));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}/`, asked, stop };
}
