// Tables of what engine.mjs found.
import { least, median, round, table, times } from "./tables.mjs";

const PHASES = ["encodeMs", "prefillMs"];

function groupLines({ name, sides }) {
  const [first] = sides;
  const of = (side, pick) => pick(side.runs.map(({ ms }) => ms));
  const phase = (side, key) => {
    const values = side.runs.flatMap(({ timings }) => (timings ? [timings[key]] : []));
    return values.length === 0 ? "" : round(least(values));
  };
  const token = (side) => {
    const values = side.runs.flatMap(({ timings }) => (timings ? [timings.decodeMs / (side.tokens - 1)] : []));
    return values.length === 0 ? "" : least(values).toFixed(1);
  };
  const dtypes = ({ info }) => (info ? `${info.dtypes.encoder}, ${info.dtypes.decoder}` : "");
  return [
    `${name}: whole captions, ms, from the image's address to the text; median (least); parts: least:`,
    "",
    ...table(
      ["", "dtypes", "load", "first", "caption", `times ${first.name}`, "encode", "prefill", "a token"],
      sides.map((side) => [
        side.name,
        dtypes(side),
        round(side.loadMs),
        round(side.firstMs),
        times(side.runs, "ms"),
        [median, least].map((pick) => (of(first, pick) / of(side, pick)).toFixed(2)).join(" / "),
        ...PHASES.map((key) => phase(side, key)),
        token(side),
      ]),
    ),
    "",
  ];
}

function downloadLines(downloads) {
  const kilobytes = (bytes) => `${round(bytes / 1000)} kB`;
  return [
    "What a page downloads beside the model, JavaScript and WebAssembly:",
    "",
    ...table(
      ["", "files", "bytes", "gzip"],
      downloads.map(({ name, files, bytes, packed }) => [name, files, kilobytes(bytes), kilobytes(packed)]),
    ),
    "",
  ];
}

function visitLines(visits) {
  const megabytes = (bytes) => `${round(bytes / 1e6)} MB`;
  return [
    "Real shape, 1 thread: from the page's call to a model that is ready, ms; most memory of the renderer, with a caption:",
    "",
    ...table(
      ["", "first visit", "second visit", "memory: first", "second, most"],
      visits.map(({ name, firstMs, second, memory: [first, ...later] }) => [
        name,
        round(firstMs),
        times(second, "ms"),
        megabytes(first),
        megabytes(Math.max(...later)),
      ]),
    ),
    "",
  ];
}

export function engineLines(engine) {
  if (engine === undefined) {
    return [];
  }
  const { groups, downloads, visits } = engine;
  return [
    ...groups.flatMap(groupLines),
    ...(downloads.length > 0 ? downloadLines(downloads) : []),
    ...(visits.length > 0 ? visitLines(visits) : []),
  ];
}
