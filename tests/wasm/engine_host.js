// A host of the engine's module as src/engine/module/module.h describes one, in a page's worker: it loads, captions, and
// checks what the module asks of it. A message {wasm, threads, facts, parts, runs} is answered by {kernels, found} or {error}.
"use strict";

const CHUNK = 20000; // bytes; ranges pass from one to the next

// One file that is lent in chunks; those of which all bytes are done are dropped.
class Lent {
  constructor(bytes) {
    this.bytes = bytes;
    this.done = [];
  }
  read(offset, to) {
    if (offset + to.length > this.bytes.length) throw new Error("read behind the end of a file");
    for (const [begin, end] of this.done) {
      if (begin < offset + to.length && offset < end) throw new Error(`bytes at ${offset} are read after they were done`);
    }
    for (let at = 0; at < to.length; at += CHUNK) to.set(this.bytes.subarray(offset + at, offset + Math.min(at + CHUNK, to.length)), at);
  }
  drop(begin, end) {
    this.done.push([begin, end]);
  }
  requireDone() {
    let at = 0;
    for (const [begin, end] of this.done.sort(([a], [b]) => a - b)) {
      if (begin !== at) throw new Error(`done ranges leave out or repeat byte ${Math.min(at, begin)}`);
      at = end;
    }
    if (at !== this.bytes.length) throw new Error(`bytes from ${at} are not done`);
  }
}

class Instance {
  static async make(module, threads) {
    const instance = new Instance();
    instance.files = [];
    const shared = WebAssembly.Module.imports(module).some(({ module: from }) => from === "env");
    const memory = shared ? new WebAssembly.Memory({ initial: 64, maximum: 4096, shared: true }) : undefined;
    const imports = {
      env: { memory },
      lorapress: {
        read: (file, offset, to, size) => instance.files[file].read(offset, new Uint8Array(instance.memory.buffer, to, size)),
        done: (file, begin, end) => instance.files[file].drop(begin, end),
        refused: (problem, text) => {
          throw new Error(`refused ${problem}: ${instance.text(text)}`);
        },
        now: () => performance.now(),
      },
    };
    instance.exports = (await WebAssembly.instantiate(module, imports)).exports;
    instance.memory = instance.exports.memory;
    instance.exports._initialize();
    instance.workers = [];
    if (threads > 1) {
      instance.exports.lp_threads(threads);
      for (let index = 1; index < threads; ++index) {
        const worker = new Worker("engine_thread.js");
        worker.postMessage({ module, memory, index, stack: instance.exports.lp_worker_stack(index) });
        instance.workers.push(worker);
      }
    }
    return instance;
  }

  text(at) {
    const bytes = new Uint8Array(this.memory.buffer, at >>> 0);
    return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
  }
  fail() {
    throw new Error(this.text(this.exports.lp_error()));
  }
  // A copy of numbers in the module's memory for the time of a call.
  lend(numbers, call) {
    const at = this.exports.lp_allocate(numbers.byteLength) >>> 0;
    new numbers.constructor(this.memory.buffer, at, numbers.length).set(numbers);
    try {
      return call(at);
    } finally {
      this.exports.lp_free(at);
    }
  }

  open(facts, parts) {
    if (this.exports.lp_open(...facts) === 0) this.fail();
    for (const { part, files } of parts) {
      this.files = files.map(({ bytes }) => new Lent(bytes));
      for (const { name, bytes } of files) {
        this.lend(new TextEncoder().encode(`${name}\0`), (at) => this.exports.lp_file(at, bytes.length));
      }
      if (this.exports.lp_load(part) === 0) this.fail();
      for (const file of this.files) file.requireDone();
    }
  }
  encode(pixels, tiles) {
    return this.lend(pixels, (at) => this.exports.lp_encode(at, tiles)) || this.fail();
  }
  image(features, width) {
    const image = this.exports.lp_image(features.length / width, width) || this.fail();
    new Float32Array(this.memory.buffer, this.exports.lp_image_data(image) >>> 0, features.length).set(features);
    return image;
  }
  prefill(image, ids) {
    return this.lend(Int32Array.from(ids), (at) => this.exports.lp_prefill(image, at, ids.length, 2)) || this.fail();
  }
  step(sequences, parents, tokens) {
    const rows = parents.length;
    const both = Int32Array.from([...parents, ...tokens]);
    if (this.lend(both, (at) => this.exports.lp_step(sequences, at, at + 4 * rows, rows)) === 0) this.fail();
  }
  logits(sequences, row, vocabulary) {
    const at = this.exports.lp_logits(sequences) >>> 0;
    return new Float32Array(this.memory.buffer, at + 4 * row * vocabulary, vocabulary).slice();
  }
  end() {
    for (const worker of this.workers) worker.terminate();
  }
}

const best = (scores) => scores.reduce((most, score, token) => (score > scores[most] ? token : most), 0);

function greedy(instance, image, { ids, count, ends, vocabulary }) {
  const sequences = instance.prefill(image, ids);
  const found = [];
  while (true) {
    found.push(best(instance.logits(sequences, 0, vocabulary)));
    if (found.length === count || ends.includes(found.at(-1))) break;
    instance.step(sequences, [0], [found.at(-1)]);
  }
  instance.exports.lp_free_sequences(sequences);
  return found;
}

// Rows that fork, vanish and change places have the numbers of rows that grew alone.
function branches(instance, image, { ids, vocabulary }) {
  const steps = [
    { parents: [0, 0, 0], tokens: [5, 6, 7] },
    { parents: [2, 0, 0], tokens: [8, 9, 10] },
    { parents: [1, 2, 0], tokens: [11, 12, 13] },
    { parents: [0, 0], tokens: [14, 15] },
  ];
  const together = instance.prefill(image, ids);
  let histories = [[]];
  for (const { parents, tokens } of steps) {
    instance.step(together, parents, tokens);
    histories = parents.map((parent, row) => [...histories[parent], tokens[row]]);
    for (const [row, history] of histories.entries()) {
      const alone = instance.prefill(image, ids);
      for (const token of history) instance.step(alone, [0], [token]);
      const [a, b] = [instance.logits(alone, 0, vocabulary), instance.logits(together, row, vocabulary)];
      if (a.some((score, i) => score !== b[i])) throw new Error(`row ${row} after ${history} has other logits than alone`);
      instance.exports.lp_free_sequences(alone);
    }
  }
  instance.exports.lp_free_sequences(together);
}

// What a host may get wrong, and what leaves the instance as it was.
function misuse(instance, image, { ids, vocabulary, table }) {
  const expect = (pattern, call) => {
    let message = "";
    try {
      call();
    } catch (error) {
      message = String(error);
    }
    if (!pattern.test(message)) throw new Error(`expected ${pattern}, found "${message}"`);
  };
  expect(/without tokens/, () => instance.prefill(image, []));
  expect(/no such image/, () => instance.prefill(77, ids));
  expect(/no such sequences/, () => instance.step(77, [0], [1]));
  const sequences = instance.prefill(image, ids);
  expect(/continues row 3 of 1/, () => instance.step(sequences, [3], [1]));
  const stack = instance.exports.__stack_pointer.value;
  if (table) expect(/refused 2: decoder: .*index/, () => instance.step(sequences, [0], [vocabulary + 100000]));
  instance.exports.__stack_pointer.value = stack;
  instance.exports.lp_free_sequences(sequences);
}

async function fetched(url) {
  return new Uint8Array(await (await fetch(url)).arrayBuffer());
}

async function work({ wasm, threads, facts, parts, runs }) {
  const instance = await Instance.make(await WebAssembly.compile(await fetched(wasm)), threads);
  try {
    for (const { files } of parts) {
      for (const file of files) file.bytes = await fetched(file.url);
    }
    instance.open(facts, parts);
    const before = instance.exports.lp_bytes();
    const found = [];
    for (const run of runs) {
      const image = run.pixels
        ? instance.encode(Float32Array.from(run.pixels), 1)
        : run.features
          ? instance.image(Float32Array.from(run.features), run.width)
          : 0;
      found.push(greedy(instance, image, run));
      if (run === runs[0]) {
        branches(instance, image, run);
        misuse(instance, image, run);
        found[0] = greedy(instance, image, run);
      }
      if (image !== 0) instance.exports.lp_free_image(image);
    }
    if (instance.exports.lp_bytes() !== before) throw new Error("memory is left behind");
    return { kernels: instance.text(instance.exports.lp_kernels()), found };
  } finally {
    instance.end();
  }
}

onmessage = async ({ data }) => {
  try {
    postMessage(await work(data));
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
