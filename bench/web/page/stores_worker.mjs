const CHUNK = 2 ** 23;
// As the package. Of synchronous handles only one: with four Chromium sometimes never answers.
const LANES = { IndexedDB: 4, OPFS: 4, "OPFS, synchronous": 1 };

const settled = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

async function indexedDb() {
  const opening = indexedDB.open("stores", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("chunks");
  const database = await settled(opening);
  return {
    async put(name, bytes) {
      const transaction = database.transaction("chunks", "readwrite", { durability: "relaxed" });
      transaction.objectStore("chunks").put(bytes, name);
      await new Promise((resolve, reject) => {
        transaction.oncomplete = resolve;
        transaction.onabort = () => reject(transaction.error);
      });
    },
    get: (name) => settled(database.transaction("chunks").objectStore("chunks").get(name)),
  };
}

const opfsFolder = async () =>
  (await navigator.storage.getDirectory()).getDirectoryHandle("chunks", { create: true });

async function opfs() {
  const folder = await opfsFolder();
  return {
    async put(name, bytes) {
      const stream = await (await folder.getFileHandle(name, { create: true })).createWritable();
      await stream.write(bytes);
      await stream.close();
    },
    async get(name) {
      const file = await (await folder.getFileHandle(name)).getFile();
      return new Uint8Array(await file.arrayBuffer());
    },
  };
}

async function opfsSynchronous() {
  const folder = await opfsFolder();
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

const OPEN = { IndexedDB: indexedDb, OPFS: opfs, "OPFS, synchronous": opfsSynchronous };

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
  const { put, get } = await OPEN[store]();
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
      await put(`chunk${i}`, bytes);
    });
  }
  return each(count, lanes, async (i) => {
    const bytes = await get(`chunk${i}`);
    if (bytes.length !== CHUNK || bytes[0] !== i) {
      throw new Error(`chunk ${i} came back wrong`);
    }
  });
}

onmessage = ({ data }) => measure(data).then(postMessage, (error) => postMessage(String(error)));
