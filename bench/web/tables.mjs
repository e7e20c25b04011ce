// Numbers and tables of the reports.

const sorted = (values) => [...values].sort((a, b) => a - b);
export const median = (values) => sorted(values)[Math.floor(values.length / 2)];
export const least = (values) => Math.min(...values);
export const round = (ms) => Math.round(ms).toLocaleString("en");
const row = (...cells) => `| ${cells.join(" | ")} |`;
export const table = (head, rows) => [row(...head), row(...head.map(() => "---")), ...rows.map((cells) => row(...cells))];

export const times = (list, name) =>
  `${round(median(list.map((one) => one[name])))} (${round(least(list.map((one) => one[name])))})`;
