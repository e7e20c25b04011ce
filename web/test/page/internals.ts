// Parts of the package that no one outside needs, for tests in a real browser.

export { toPicture, toPixels } from "../../src/image/picture.js";
export { openStore } from "../../src/loading/cache.js";
export { freeNow } from "../../src/loading/free_now.js";
export { IndexedDbStore } from "../../src/loading/indexed_db.js";
export { requireDigest } from "../../src/loading/integrity.js";
export { OpfsStore } from "../../src/loading/opfs.js";
