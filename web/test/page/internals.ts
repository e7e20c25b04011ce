// Parts of the package that no one outside needs, for tests in a real browser.
export { IndexedDbStore, openStore } from "../../src/cache.js";
export { requireDigest } from "../../src/integrity.js";
export { OpfsStore } from "../../src/opfs.js";
export { toPicture, toPixels } from "../../src/picture.js";
