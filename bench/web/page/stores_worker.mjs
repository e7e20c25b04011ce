import { IndexedDbStore, OpfsStore } from "/bundle/internals.js";

const CHUNK = 2 ** 23;
// As the package. Of synchronous handles only one: with four Chromium sometimes never answers.
const LANES = { IndexedDB: 4, OPFS: 4, "OPFS, synchronous": 1 };

const database = () => IndexedDbStore.open(indexedDB);

async function opfsSynchronous() {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle("synchronous", { create: true });
  const open = async (name, create) =>
    (await folder.getFileHandle(name, { create })).createSyncAccessHandle();
  return {
    async put(name, bytes) {
      const handle = await open(name, true);
      handle.write(bytes, { at: 0 });
      handle.truncate(bytes.length);
      handle.close();
    },
    async get(name) {
      const handle = await open(name, false);
      const bytes = new Uint8Array(handle.getSize());
      handle.read(bytes, { at: 0 });
      handle.close();
      return bytes;
    },
  };
}

const OPEN = {
  IndexedDB: database,
  OPFS: async () => OpfsStore.open(await database()),
  "OPFS, synchronous": opfsSynchronous,
};

async function each(count, lanes, task) {
  let next = 0;
  const lane = async () => {
    while (next < count) {
      await task(next++);
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: lanes }, lane));
  return performance.now() - start;
}

/** `stage` "write" or "read"; chunks differ, so that nothing is stored once for all. */
async function measure({ store, stage, count }) {
  const chunks = await OPEN[store]();
  const lanes = LANES[store];
  if (stage === "write") {
    const noise = new Uint32Array(CHUNK / 4);
    for (let i = 0, x = 1; i < noise.length; ++i) {
      x = Math.imul(x, 1664525) + 1013904223;
      noise[i] = x;
    }
    return each(count, lanes, async (i) => {
      const bytes = new Uint8Array(noise.slice().buffer);
      bytes[0] = i;
      await chunks.put(`chunk${i}`, bytes);
    });
  }
  return each(count, lanes, async (i) => {
    const bytes = await chunks.get(`chunk${i}`);
    if (bytes.length !== CHUNK || bytes[0] !== i) {
      throw new Error(`chunk ${i} came back wrong`);
    }
  });
}

onmessage = ({ data }) => measure(data).then(postMessage, (error) => postMessage(String(error)));
