// usage: node bench/web/images.mjs SCENE.png FOLDER   Images of exactly the models' sizes: only those are the
// same for a client that resizes with its canvas.
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { ROOT } from "./browser.mjs";

const { PNG } = createRequire(join(ROOT, "web/package.json"))("pngjs");
const SIZES = { card: 224, large: 2048 };

const [scene, folder] = process.argv.slice(2);
copyFileSync(scene, join(folder, "scene.png"));
const small = PNG.sync.read(readFileSync(scene));
for (const [name, size] of Object.entries(SIZES)) {
  const scaled = new PNG({ width: size, height: size });
  for (let i = 0; i < size * size; ++i) {
    const [x, y] = [i % size, Math.floor(i / size)];
    const from = Math.floor((y * small.height) / size) * small.width + Math.floor((x * small.width) / size);
    small.data.copy(scaled.data, i * 4, from * 4, from * 4 + 4);
  }
  writeFileSync(join(folder, `${name}.png`), PNG.sync.write(scaled));
}
