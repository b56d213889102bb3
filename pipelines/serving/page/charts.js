// Charts as SVG: a fan of samples over time, and points in the plane.

import { el, short, svg } from "./dom.js";

const [LEFT, RIGHT, TOP, BOTTOM] = [52, 12, 10, 26];

/** A figure that is drawn again when its width changes. `draw(width)` gives the SVG. */
function figure(title, summary, legend, draw) {
  const room = el("div", { class: "plot" });
  let width = 0;
  new ResizeObserver(([entry]) => {
    const now = Math.round(entry.contentRect.width);
    if (now && now !== width) {
      width = now;
      const plot = draw(now);
      plot.setAttribute("role", "img");
      plot.setAttribute("aria-label", summary);
      room.replaceChildren(plot);
    }
  }).observe(room);
  const keys = legend.map(([kind, text]) => el("li", {}, el("span", { class: `key ${kind}`, "aria-hidden": "true" }), text));
  return el("figure", {}, el("figcaption", {}, title), room, el("ul", { class: "legend" }, keys));
}

/** Round numbers between two ends, about `count` of them. */
export function ticks(low, high, count) {
  const rough = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step);
}

function scale([from, to], [start, end]) {
  return (value) => start + ((value - from) / (to - from || 1)) * (end - start);
}

function frame(width, height, yTicks, y) {
  return yTicks.map((value) => [
    svg("line", { class: "rule", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
    svg("text", { class: "tick", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, short(value)),
  ]).flat();
}

function path(points, x, y) {
  return points.map((point, i) => `${i && points[i - 1] ? "L" : "M"}${x(point[0]).toFixed(1)} ${y(point[1]).toFixed(1)}`).join("");
}

/** Runs of points without a gap; null is a gap. */
function runs(points) {
  const found = [[]];
  for (const point of points) {
    if (point) found.at(-1).push(point);
    else found.push([]);
  }
  return found.filter((run) => run.length);
}

/**
 * What was told, [[x, y] or null], and the quantiles of the samples, {outer: [[x, low, high] or null], inner, median}.
 * `timeText(x)` is the text of a place.
 */
export function fanChart({ title, told, fan, samples, timeText }) {
  const known = [...told, ...fan.median].filter(Boolean);
  const xs = known.map(([x]) => x);
  const ys = [...known.map(([, y]) => y), ...fan.outer.filter(Boolean).flatMap(([, low, high]) => [low, high])];
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const pad = (y1 - y0 || 1) * 0.06;
  const [middle, ends] = [fan.median, fan.outer].map((points) => points.filter(Boolean).at(-1));
  const summary = `Fan chart of ${title}: ${middle
    ? `the median ends at ${short(middle[1])}; 90 % of the samples lie between ${short(ends[1])} and ${short(ends[2])}.`
    : "nothing was missing."}`;
  const legend = [["told", "given"], ["median", "median"], ["inner", "50 % of samples"], ["outer", "90 %"]];
  return figure(title, summary, legend, (width) => {
    const height = width < 500 ? 240 : 320;
    const x = scale([x0, x1], [LEFT, width - RIGHT]);
    const y = scale([y0 - pad, y1 + pad], [height - BOTTOM, TOP]);
    const band = (name) => runs(fan[name]).map((run) => {
      const around = [...run.map(([at, low]) => [at, low]), ...run.map(([at, , high]) => [at, high]).reverse()];
      return svg("path", { class: name, d: `${path(around, x, y)}Z` });
    });
    const line = (points, name) => runs(points).map((run) => run.length === 1
      ? svg("circle", { class: `${name} dot`, cx: x(run[0][0]), cy: y(run[0][1]), r: 2.5 })
      : svg("path", { class: name, d: path(run, x, y) }));
    const ends = [[x0, "start"], [x1, "end"]].map(([at, anchor]) =>
      svg("text", { class: "tick", x: x(at), y: height - 6, "text-anchor": anchor }, timeText(at)));
    return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height },
      frame(width, height, ticks(y0, y1, 5), y), band("outer"), band("inner"),
      samples.map((each) => line(each, "sampled")), line(told, "told"), line(fan.median, "median"), ends);
  });
}

/** Points in the plane, [{x, y, label}], a colour a class. */
export function scatterChart({ title, points, classes }) {
  const reach = (key) => {
    const values = points.map((point) => point[key]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const pad = (high - low || 1) * 0.05;
    return [low - pad, high + pad];
  };
  const [xs, ys] = [reach("x"), reach("y")];
  const shown = [...new Set(points.map(({ label }) => label))].sort((a, b) => a - b);
  const colour = (label) => `c${label === null ? "none" : label % 8}`;
  const legend = shown.map((label) => [colour(label), label === null ? "no class" : classes[label]]);
  const summary = `${title}: x from ${short(xs[0])} to ${short(xs[1])}, y from ${short(ys[0])} to ${short(ys[1])}.`;
  return figure(title, summary, legend, (width) => {
    const height = Math.min(width, 460);
    const x = scale(xs, [LEFT, width - RIGHT]);
    const y = scale(ys, [height - BOTTOM, TOP]);
    const under = ticks(...xs, 5).map((value) =>
      svg("text", { class: "tick", x: x(value), y: height - 6, "text-anchor": "middle" }, short(value)));
    return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height },
      frame(width, height, ticks(...ys, 5), y), under,
      points.map((point) => svg("circle", { class: `point ${colour(point.label)}`, cx: x(point.x), cy: y(point.y), r: 3 })));
  });
}
