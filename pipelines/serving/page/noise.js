// Unit noise by seed, as numpy draws it: Philox 4x64 and the ziggurat of standard_normal in float32.

const M64 = (1n << 64n) - 1n;
const [MUL0, MUL1] = [0xd2e7470ee14c6c93n, 0xca5a826395121157n];
const [BUMP0, BUMP1] = [0x9e3779b97f4a7c15n, 0xbb67ae8584caa73bn];
const ROUNDS = 10;

/** The four words after a counter of four words, by a key of two (Salmon et al. 2011). */
function philox(counter, key) {
  let [a, b, c, d] = counter;
  let [k, l] = key;
  for (let round = 0; round < ROUNDS; round += 1) {
    const [p, q] = [MUL0 * a, MUL1 * c];
    [a, b, c, d] = [(q >> 64n) ^ b ^ k, q & M64, (p >> 64n) ^ d ^ l, p & M64];
    [k, l] = [(k + BUMP0) & M64, (l + BUMP1) & M64];
  }
  return [a, b, c, d];
}

/** Draws of 32 bits: a word's low half first; the counter is raised before each block. */
function draws(seed, purpose, step, item) {
  const key = [BigInt(seed), BigInt(purpose)];
  const block = new BigUint64Array(4);
  const halves = new Uint32Array(block.buffer);
  let [low, at] = [0n, halves.length];
  return () => {
    if (at === halves.length) {
      low += 1n;
      block.set(philox([low, 0n, BigInt(step), BigInt(item)], key));
      at = 0;
    }
    at += 1;
    return halves[at - 1];
  };
}

// The ziggurat of 256 layers of one area (Marsaglia & Tsang 2000): the widths fall from the base to 0.
const LAYERS = 256;
const [BASE, AREA] = [3.6541528853610088, 0.0049286732339746519];
const density = (x) => Math.exp(-0.5 * x * x);
const [WIDTH, KEEP, HEIGHT] = tables();

function tables() {
  const edges = new Float64Array(LAYERS);
  edges[LAYERS - 1] = BASE;
  for (let i = LAYERS - 1; i > 1; i -= 1) {
    edges[i - 1] = Math.sqrt(-2 * Math.log(AREA / edges[i] + density(edges[i])));
  }
  const bits = 2 ** 23;
  const whole = AREA / density(BASE); // the base with its tail, as wide as if it were a rectangle
  const width = Float32Array.from(edges, (x, i) => (i ? x : whole) / bits);
  const keep = Uint32Array.from(edges, (x, i) => (i ? edges[i - 1] / x : BASE / whole) * bits);
  keep[1] = 0;
  const height = Float32Array.from(edges, (x, i) => (i ? density(x) : 1));
  return [width, keep, height];
}

function normal(next) {
  const unit = () => Math.fround((next() >>> 8) / 2 ** 24);
  for (;;) {
    const bits = next();
    const [layer, sign, size] = [bits & 0xff, (bits >>> 8) & 1, (bits >>> 9) & 0x7fffff];
    const x = Math.fround(size * WIDTH[layer]) * (sign ? -1 : 1);
    if (size < KEEP[layer]) return x;
    if (layer === 0) {
      for (;;) {
        const [far, drop] = [-Math.log1p(-unit()) / BASE, -Math.log1p(-unit())];
        if (2 * drop > far * far) return (size >>> 8) & 1 ? -(BASE + far) : BASE + far;
      }
    }
    if (Math.fround(HEIGHT[layer - 1] - HEIGHT[layer]) * unit() + HEIGHT[layer] < density(x)) return x;
  }
}

/** Unit noise of a step for one seed; step 0 is where sampling begins. */
export function noise(seed, step, size, purpose = 0) {
  const next = draws(seed, purpose, step, 0);
  return Float32Array.from({ length: size }, () => normal(next));
}
