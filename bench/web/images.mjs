// usage: node bench/web/images.mjs SCENE.png FOLDER   Images of exactly the models' sizes: only those are the
// same for a client that resizes with its canvas.
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { ROOT } from "./browser.mjs";

const { PNG } = createRequire(join(ROOT, "web/package.json"))("pngjs");
const SIZE = 224;

const [scene, folder] = process.argv.slice(2);
copyFileSync(scene, join(folder, "scene.png"));
const small = PNG.sync.read(readFileSync(scene));
const large = new PNG({ width: SIZE, height: SIZE });
for (let i = 0; i < SIZE * SIZE; ++i) {
  const [x, y] = [i % SIZE, Math.floor(i / SIZE)];
  const from = Math.floor((y * small.height) / SIZE) * small.width + Math.floor((x * small.width) / SIZE);
  small.data.copy(large.data, i * 4, from * 4, from * 4 + 4);
}
writeFileSync(join(folder, "card.png"), PNG.sync.write(large));
