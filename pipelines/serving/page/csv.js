// A table as CSV: read for the chart, and an example where the user has none.

const SECONDS = { s: 1, min: 60, h: 3600, D: 86_400, W: 604_800 };
const ROWS = 96;

/** {columns, rows of numbers (NaN: missing), times or null}; the service is the one that judges it. */
export function parseTable(text) {
  const lines = text.replace(/^\ufeff/, "").split(/\r?\n/).filter((line) => line.trim());
  const cells = lines.map((line) => line.split(",").map((cell) => cell.trim().replace(/^"(.*)"$/, "$1")));
  const [header, ...body] = cells;
  const when = header.indexOf("time");
  const columns = header.filter((_, at) => at !== when);
  const rows = body.map((row) => row.filter((_, at) => at !== when).map((cell) => (cell === "" ? NaN : Number(cell))));
  return { columns, rows, times: when < 0 ? null : body.map((row) => row[when]) };
}

/** A made-up table that a model of this data can read: a day's wave about the data's mean; with gaps to be filled. */
export function exampleOf(info, gaps) {
  const rows = info.about.history ?? info.shape?.at(-1) ?? ROWS;
  const match = /^(\d*)(s|min|h|D|W)$/.exec(info.about.frequency);
  const step = match ? Number(match[1] || 1) * SECONDS[match[2]] : 0;
  const period = step && step <= 43_200 ? 86_400 / step : 7;
  const start = Date.UTC(2026, 0, 5);
  const lines = Array.from({ length: rows }, (_, row) => {
    const values = info.about.columns.map((_, column) => {
      if (gaps && row > rows / 3 && row < (2 * rows) / 3) return "";
      const { mean, std } = { mean: info.scaling?.mean[column] ?? 0, std: info.scaling?.std[column] ?? 1 };
      const wave = Math.sin((2 * Math.PI * (row - period / 3)) / period) + 0.25 * Math.sin((4 * Math.PI * row) / period + column);
      return String(Number((mean + std * (wave + 0.1 * Math.sin(row * 12.9898 + column))).toPrecision(5)));
    });
    const time = step ? [new Date(start + 1000 * step * row).toISOString().slice(0, step % 86_400 ? 16 : 10)] : [];
    return [...time, ...values].join(",");
  });
  return [[...(step ? ["time"] : []), ...info.about.columns].join(","), ...lines].join("\n");
}
