// What a model computes, in whole numbers, from the data that rdahw/sim/panel.py writes.
//
// A network computes bits. Its nodes are numbered: the bits of the input, padded to whole octets, the constants 0 and 1,
// then what its lookup tables hold at the nodes that they read, the lowest bit of the index first.
"use strict";

const engine = (() => {
  const ARRAYS = { Int8Array, Uint8Array, Int16Array, Uint16Array, Int32Array };
  const MISSING = -(2 ** 31);

  function unpack({ type, data }) {
    const octets = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    return new ARRAYS[type](octets.buffer);
  }

  // Bit `at` of packed bits, the lowest bit of an octet first.
  const bitOf = (octets, at) => (octets[at >> 3] >> (at & 7)) & 1;

  function openTables(found) {
    return { ...found, wiring: unpack(found.wiring), values: unpack(found.values) };
  }

  // The data with arrays in place of their texts.
  function open(data) {
    const model = { ...data, tests: unpack(data.tests), luts: data.luts.map(openTables) };
    if (data.votes) model.votes = openTables(data.votes);
    if (data.examples) model.examples = { ...data.examples, values: unpack(data.examples.values) };
    if (data.shapley) {
      const found = data.shapley;
      model.shapley = { ...found, owners: unpack(found.owners), background: unpack(found.background) };
    }
    return model;
  }

  // The bits of an example, given as a whole number for each feature.
  function encode(model, features) {
    const bits = new Uint8Array(model.inputBits), { tests } = model;
    for (let i = 0; i < tests.length; i += 4) {
      const value = features[tests[i + 1]];
      if (value >= tests[i + 2] && value <= tests[i + 3]) bits[tests[i]] = 1;
    }
    return bits;
  }

  // The index at which a table is read.
  function indexOf({ wiring, inputs }, table, nodes) {
    let index = 0;
    for (let i = 0; i < inputs; i++) index |= nodes[wiring[table * inputs + i]] << i;
    return index;
  }

  // What a table that votes adds to the score of a class.
  function voteOf(model, table, index, number) {
    const { values, inputs, inTurn, packed } = model.votes;
    const at = (table << inputs) | index;
    if (inTurn) return table % model.classes === number ? bitOf(values, at) : 0;
    const place = at * model.classes + number;
    return packed ? bitOf(values, place) : values[place];
  }

  // The class that a circuit's outputs are the code of, -1 for none.
  function decode(model, nodes) {
    const on = model.outputs.map((node) => nodes[node]);
    if (model.code === "binary") {
      const number = on.reduce((sum, bit, i) => sum + bit * 2 ** i, 0);
      return number < model.classes ? number : -1;
    }
    return on.indexOf(1) === on.lastIndexOf(1) ? on.indexOf(1) : -1;
  }

  // Of bits: the nodes, the index of each table that votes, the scores, and the number of the class.
  function run(model, bits) {
    const nodes = new Uint8Array(model.nodes);
    nodes.set(bits);
    let end = model.paddedBits;
    nodes[end + 1] = 1;
    end += 2;
    for (const luts of model.luts)
      for (let table = 0; table < luts.tables; table++)
        nodes[end++] = bitOf(luts.values, (table << luts.inputs) | indexOf(luts, table, nodes));
    if (!model.votes) return { nodes, predicted: decode(model, nodes) };
    const scores = new Array(model.classes).fill(0), indices = new Int32Array(model.votes.tables);
    for (let table = 0; table < indices.length; table++) {
      const index = (indices[table] = indexOf(model.votes, table, nodes));
      if (model.votes.inTurn) scores[table % model.classes] += voteOf(model, table, index, table % model.classes);
      else for (let c = 0; c < model.classes; c++) scores[c] += voteOf(model, table, index, c);
    }
    // The first of the largest scores.
    return { nodes, indices, scores, predicted: scores.indexOf(scores.reduce((a, b) => Math.max(a, b))) };
  }

  const gcd = (a, b) => (b ? gcd(b, a % b) : a);

  // The exact Shapley values of the score of a class, as rdahw/shapley.py defines them: the value of player i is
  // values[i] / denominator, all together the score less baseline / examples.
  function explain(model, bits, number) {
    const { owners, background, examples } = model.shapley, { wiring, inputs, tables } = model.votes;
    const size = 1 << inputs, octets = (model.inputBits + 7) >> 3;
    let parts = 1;
    for (let i = 2; i <= inputs; i++) parts *= i / gcd(parts, i);
    // weights[s]: parts · s! (inputs - s - 1)! / inputs!
    const weights = [parts / inputs];
    for (let s = 1; s < inputs; s++) weights.push((weights[s - 1] * s) / (inputs - s));
    const counts = new Array(size).fill(0).map((_, set) => set.toString(2).replaceAll("0", "").length);
    const values = new Float64Array(model.columns);
    const worth = new Float64Array(size), masks = new Int32Array(size), held = new Int32Array(size);
    let score = 0, baseline = 0;
    for (let table = 0; table < tables; table++) {
      if (model.votes.inTurn && table % model.classes !== number) continue;
      const players = [], slots = new Int32Array(inputs);
      for (let i = 0; i < inputs; i++) {
        const owner = owners[wiring[table * inputs + i]];
        if (!players.includes(owner)) players.push(owner);
        slots[players.indexOf(owner)] |= 1 << i;
      }
      for (let set = 1; set < size; set++) {
        const last = 31 - Math.clz32(set);
        masks[set] = masks[set ^ (1 << last)] | slots[last];
      }
      held.fill(0);
      for (let example = 0; example < examples; example++) {
        let index = 0;
        for (let i = 0; i < inputs; i++)
          index |= bitOf(background, 8 * octets * example + wiring[table * inputs + i]) << i;
        held[index]++;
      }
      const here = indexOf(model.votes, table, bits);
      worth.fill(0);
      for (let other = 0; other < size; other++)
        if (held[other])
          for (let set = 0; set < size; set++)
            worth[set] += held[other] * voteOf(model, table, (here & masks[set]) | (other & ~masks[set]), number);
      for (let slot = 0; slot < players.length; slot++)
        for (let set = 0; set < size; set++)
          if (set & (1 << slot)) {
            const gain = worth[set] - worth[set ^ (1 << slot)];
            values[players[slot]] += weights[counts[set] - 1] * gain;
          }
      score += voteOf(model, table, here, number);
      baseline += worth[0];
    }
    return { values, denominator: parts * examples, score, baseline, examples };
  }

  // A fraction in lowest terms, as text.
  function fraction(numerator, denominator) {
    const common = gcd(Math.abs(numerator), denominator) || 1;
    return denominator === common ? `${numerator / common}` : `${numerator / common}/${denominator / common}`;
  }

  return { MISSING, open, encode, run, explain, voteOf, fraction };
})();

if (typeof module !== "undefined") module.exports = engine;
