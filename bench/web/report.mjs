// Tables of what measure.mjs found.

import { engineLines } from "./engine_report.mjs";
import { least, median, round, table, times } from "./tables.mjs";

/** How many times stock's figure is ours: of the medians and of the least. */
function ratio(part, name) {
  const of = (pick) => pick(part.stock.map((one) => one[name])) / pick(part.ours.map((one) => one[name]));
  return `${of(median).toFixed(2)} (${of(least).toFixed(2)})`;
}

function captionLines(captions) {
  if (captions.length === 0) {
    return [];
  }
  const nameOf = ({ model, dtype, threads }) => [`${model} ${dtype}`, threads ?? "default"];
  return [
    "Whole captions, ms, from the image's address to the text; median (least):",
    "",
    ...table(
      ["model", "threads", "tokens", "stock", "LoraPress", "times faster", "CPU: stock", "CPU: LoraPress", "times less"],
      captions.map((part) => [
        ...nameOf(part),
        part.tokens,
        times(part.stock, "ms"),
        times(part.ours, "ms"),
        ratio(part, "ms"),
        times(part.stock, "cpuMs"),
        times(part.ours, "cpuMs"),
        ratio(part, "cpuMs"),
      ]),
    ),
    "",
    "Where LoraPress' time goes, ms, medians:",
    "",
    ...table(
      ["model", "threads", "preprocess", "encode", "prefill", "decode"],
      captions.map((part) => [
        ...nameOf(part),
        ...["preprocessMs", "encodeMs", "prefillMs", "decodeMs"].map((name) =>
          median(part.ours.map(({ timings }) => timings[name])).toFixed(1),
        ),
      ]),
    ),
    "",
  ];
}

/** The guide's table: size, load and a caption of each form, natively and in a tab. */
function guideLines({ guide, captions }) {
  if (guide === undefined) {
    return [];
  }
  const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
  return [
    "Two threads, medians; the tab loads from this machine for the first time:",
    "",
    ...table(
      ["form", "size", "native: load", "a caption", "tab: load", "a caption", "the same in transformers.js"],
      captions.map((part) => {
        const { bytes, load_ms, caption_ms } = guide[part.model][part.dtype];
        return [
          `${part.model} ${part.dtype}`,
          `${Math.round(bytes / 1e6)} MB`,
          seconds(load_ms.median),
          seconds(caption_ms.median),
          seconds(part.oursLoadMs),
          ...["ours", "stock"].map((side) => seconds(median(part[side].map(({ ms }) => ms)))),
        ];
      }),
    ),
    "",
  ];
}

function memoryLines(memory) {
  if (memory === undefined) {
    return [];
  }
  const gigabytes = (side) => (memory[side] / 1e9).toFixed(2);
  return [
    "Peak memory of the renderer, loading and one caption, GB:",
    "",
    ...table(
      ["model", "stock", "LoraPress"],
      [[`${memory.model} ${memory.dtype}`, gigabytes("stock"), gigabytes("ours")]],
    ),
    "",
  ];
}

function visitLines(visits) {
  if (visits.length === 0) {
    return [];
  }
  return [
    "From the page's call to a model that is ready, ms; median (least):",
    "",
    ...table(
      ["model", "first visit: stock", "LoraPress", "second visit: stock", "LoraPress"],
      visits.map((part) => [
        `${part.model} ${part.dtype}`,
        round(part.stockFirst),
        round(part.oursFirst),
        times(part.stock, "ms"),
        times(part.ours, "ms"),
      ]),
    ),
    "",
  ];
}

function lazyLines(lazy) {
  if (lazy === undefined) {
    return [];
  }
  const seconds = (name) => (lazy[name] / 1000).toFixed(1);
  return [
    `A caption that is asked for at once, ${lazy.model} ${lazy.dtype}, ${lazy.bytesPerSecond / 1e6} MB/s; seconds:`,
    "",
    ...table(
      ["encoder's last byte", "image encoded", "decoder's last byte", "caption"],
      [["encoderArrived", "encodeEnded", "decoderArrived", "captionEnded"].map(seconds)],
    ),
    "",
  ];
}

function storeLines(stores) {
  if (stores === undefined) {
    return [];
  }
  const speed = (list) => `${round(median(list))} (${round(Math.max(...list))})`;
  return [
    "Chunks of 8 MB, 889 MB in all, four at a time (synchronous: one), MB/s; median (most):",
    "",
    ...table(
      ["store", "write", "read"],
      Object.entries(stores).map(([name, { write, read }]) => [name, speed(write), speed(read)]),
    ),
    "",
  ];
}

export function report({ machine, load, quick, engine, captions, guide, memory, visits, lazy, stores }) {
  return [
    `Measured on ${machine}, load ${load.toFixed(1)} at the start${quick ? ", --quick" : ""}.`,
    "",
    ...engineLines(engine),
    ...guideLines({ guide, captions }),
    ...captionLines(captions),
    ...memoryLines(memory),
    ...visitLines(visits),
    ...lazyLines(lazy),
    ...storeLines(stores),
  ].join("\n");
}
