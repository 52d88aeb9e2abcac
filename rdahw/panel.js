// The panel of a report: an image to draw, or a control for each column, and what the model makes of it. All names come
// from files, so they are only ever set as text.
"use strict";

(() => {
  const model = engine.open(JSON.parse(document.getElementById("panel-data").textContent));
  const root = document.getElementById("panel");
  const image = model.image && {
    channels: model.image.length === 3 ? model.image[0] : 1,
    height: model.image.at(-2),
    width: model.image.at(-1),
    low: model.features[0].low,
    high: model.features[0].high,
  };
  const values = new Int32Array(model.columns);
  const listeners = [];
  let state = null;

  // -- making elements -------------------------------------------------------------------------------------------------

  function make(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function labelled(text, control, id) {
    control.id = id;
    return make("p", { class: "control" }, make("label", { for: id }, text), " ", control);
  }

  function choice(options) {
    const made = make("select");
    options.forEach(([value, text]) => made.append(make("option", { value }, text)));
    return made;
  }

  function table(caption, titles) {
    const body = make("tbody");
    const head = make("tr", {}, ...titles.map((title) => make("th", { scope: "col" }, title)));
    const made = make("table", {}, make("caption", {}, caption), make("thead", {}, head), body);
    const box = make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `${caption}, a table` }, made);
    const show = (rows) =>
      body.replaceChildren(
        ...rows.map(([first, ...rest]) =>
          make("tr", {}, make("th", { scope: "row" }, first), ...rest.map((cell) => make("td", {}, cell))),
        ),
      );
    return { box, show };
  }

  // A picture of columns x rows cells, each of `scale` pixels; paint(cell) is [red, green, blue].
  function picture(columns, rows, scale) {
    const canvas = make("canvas", { width: columns, height: rows, role: "img" });
    canvas.style.width = `${columns * scale}px`;
    const context = canvas.getContext("2d"), shown = context.createImageData(columns, rows);
    shown.data.fill(255);
    const show = (paint, text) => {
      for (let cell = 0; cell < columns * rows; cell++) shown.data.set(paint(cell), 4 * cell);
      context.putImageData(shown, 0, 0);
      canvas.setAttribute("aria-label", text);
    };
    return { canvas, show };
  }

  const bar = (part) => {
    const made = make("span", { class: "bar", "aria-hidden": "true" });
    made.style.width = `${Math.max(0, Math.min(1, part)) * 8}rem`;
    return made;
  };

  const shortened = (number) => (Number.isInteger(number) ? `${number}` : number.toPrecision(4));
  const signed = (number) => (number > 0 ? `+${shortened(number)}` : shortened(number));
  const labelOf = (number) => (number < 0 ? "no class" : model.labels[number]);

  // -- the input -------------------------------------------------------------------------------------------------------

  function show() {
    const bits = engine.encode(model, values);
    state = { bits, ...engine.run(model, bits) };
    listeners.forEach((listener) => listener());
  }

  // Called after `values` changed: they are shown with the next frame.
  let frame = 0;
  function change() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(show);
  }

  function canvasOfInput() {
    const { channels, height, width, low, high } = image;
    const size = width * height;
    const shown = picture(width, height, Math.max(2, Math.floor(336 / Math.max(width, height))));
    const canvas = shown.canvas;
    canvas.id = "drawing";
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-describedby", "drawing-help");
    const cursor = { x: width >> 1, y: height >> 1 };
    const pen = choice([1, 2, 3].map((pixels) => [pixels, `${pixels} pixel${pixels > 1 ? "s" : ""}`]));
    pen.value = Math.min(width, height) >= 20 ? "2" : "1";
    const ink = channels === 3 ? make("input", { type: "color", value: "#ffffff" })
      : make("input", { type: "range", min: low, max: high, value: high });

    function inked() {
      if (channels !== 3) return new Array(channels).fill(Number(ink.value));
      return [1, 3, 5].map((at) => low + Math.round((parseInt(ink.value.slice(at, at + 2), 16) * (high - low)) / 255));
    }

    function stamp(x, y, colour) {
      const thick = Number(pen.value), before = (thick - 1) >> 1;
      for (let dy = -before; dy < thick - before; dy++)
        for (let dx = -before; dx < thick - before; dx++)
          if (x + dx >= 0 && x + dx < width && y + dy >= 0 && y + dy < height)
            colour.forEach((level, channel) => (values[channel * size + (y + dy) * width + x + dx] = level));
    }

    // From one pixel to another, both included.
    function stroke(from, to, colour) {
      const steps = Math.max(Math.abs(to.x - from.x), Math.abs(to.y - from.y), 1);
      for (let i = 0; i <= steps; i++)
        stamp(Math.round(from.x + ((to.x - from.x) * i) / steps), Math.round(from.y + ((to.y - from.y) * i) / steps), colour);
    }

    const greyOf = (pixel, channel) =>
      Math.round((255 * (values[Math.min(channel, channels - 1) * size + pixel] - low)) / Math.max(1, high - low));

    // Of grey images ink is dark, as on paper; colours are as they are. The cursor is red.
    function draw() {
      const at = document.activeElement === canvas ? cursor.y * width + cursor.x : -1;
      const paint = (pixel) => {
        const levels = [0, 1, 2].map((channel) => (channels === 3 ? greyOf(pixel, channel) : 255 - greyOf(pixel, 0)));
        return pixel === at ? [200, levels[1] >> 2, levels[2] >> 2] : levels;
      };
      const dark = values.reduce((count, value) => count + (value > low), 0);
      shown.show(
        paint,
        `Drawing of ${width} x ${height} pixels; ${dark} have ink. ` +
          `The cursor is in row ${cursor.y + 1}, column ${cursor.x + 1}`,
      );
    }

    function place(event) {
      const box = canvas.getBoundingClientRect();
      return {
        x: Math.floor(((event.clientX - box.left) * width) / box.width),
        y: Math.floor(((event.clientY - box.top) * height) / box.height),
      };
    }

    let last = null, erases = false;
    const nothing = new Array(channels).fill(low);
    canvas.style.touchAction = "none";
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      erases = event.button === 2 || event.shiftKey;
      last = place(event);
      stroke(last, last, erases ? nothing : inked());
      change();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      // Browsers join moves within a frame into one event.
      const moves = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
      for (const move of moves.length ? moves : [event]) {
        const next = place(move);
        stroke(last, next, erases ? nothing : inked());
        last = next;
      }
      change();
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    canvas.addEventListener("keydown", (event) => {
      const move = moves[event.key];
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (move) {
        const from = { ...cursor };
        cursor.x = Math.max(0, Math.min(width - 1, cursor.x + move[0]));
        cursor.y = Math.max(0, Math.min(height - 1, cursor.y + move[1]));
        if (event.shiftKey) stroke(from, cursor, inked());
      } else if (event.key === " ") stamp(cursor.x, cursor.y, inked());
      else if (event.key === "Backspace" || event.key === "Delete") stamp(cursor.x, cursor.y, nothing);
      else return;
      event.preventDefault();
      if (move && !event.shiftKey) draw();
      else change();
    });
    canvas.addEventListener("focus", draw);
    canvas.addEventListener("blur", draw);

    // The picture moved so that the centre of its ink is in the middle.
    function centre() {
      let sum = 0, sumX = 0, sumY = 0;
      values.forEach((value, at) => {
        sum += value - low;
        sumX += (value - low) * (at % width);
        sumY += (value - low) * Math.floor((at % size) / width);
      });
      if (!sum) return;
      const dx = Math.round((width - 1) / 2 - sumX / sum), dy = Math.round((height - 1) / 2 - sumY / sum);
      const before = Int32Array.from(values);
      values.forEach((_, at) => {
        const x = (at % width) - dx, y = Math.floor((at % size) / width) - dy;
        const inside = x >= 0 && x < width && y >= 0 && y < height;
        values[at] = inside ? before[at - (at % size) + y * width + x] : low;
      });
      change();
    }

    const button = (text, id, action) => {
      const made = make("button", { type: "button", id }, text);
      made.addEventListener("click", action);
      return made;
    };
    const buttons = make("p", { class: "control" },
      button("Clear", "clear", () => { values.fill(low); change(); }), " ",
      button("Move to the middle", "centre", centre));
    const help = make("p", { id: "drawing-help" },
      "Draw with the pointer, and erase with Shift or the right button. With the keyboard, arrows move the cursor, " +
      "Shift with an arrow draws, Space sets a pixel and Backspace erases it.");
    listeners.push(draw);
    values.fill(low);
    return [help, canvas, buttons, labelled("Pen", pen, "pen"), labelled(channels === 3 ? "Colour" : "Ink", ink, "ink")];
  }

  // A control for each column; set(value) shows a value that was set elsewhere.
  function controlOf(feature, at) {
    const id = `column-${at}`, name = model.names[at];
    if (feature.kind !== "number") {
      const known = feature.kind === "binary" ? [[0, "0"], [1, "1"]] : feature.categories.map((text, i) => [i, text]);
      if (feature.kind === "category") known.push([-1, "any other"]);
      if (feature.missing || feature.kind === "category") known.push([engine.MISSING, "missing"]);
      const made = choice(known);
      made.addEventListener("change", () => { values[at] = Number(made.value); change(); });
      values[at] = 0;
      return { box: labelled(name, made, id), set: (value) => (made.value = value) };
    }
    const unit = 10 ** feature.decimals, shown = make("output", { for: id });
    const say = (value) => (value === engine.MISSING ? "missing" : (value / unit).toFixed(Math.min(feature.decimals, 20)));
    const made = make("input", { type: "range", min: feature.low, max: feature.high, step: 1 });
    const missing = make("input", { type: "checkbox", id: `${id}-missing` });
    const read = () => {
      values[at] = missing.checked ? engine.MISSING : Number(made.value);
      change();
    };
    made.addEventListener("input", () => { missing.checked = false; read(); });
    missing.addEventListener("change", read);
    values[at] = Math.round((feature.low + feature.high) / 2);
    const box = labelled(name, made, id);
    box.append(" ", shown);
    if (feature.missing) box.append(" ", make("label", {}, missing, " missing"));
    const set = (value) => {
      missing.checked = value === engine.MISSING;
      if (!missing.checked) made.value = value;
      made.setAttribute("aria-valuetext", say(value));
      shown.textContent = say(value);
    };
    return { box, set };
  }

  function input() {
    const found = [];
    if (model.examples.said.length) {
      const options = model.examples.said.map((text, i) => [i, `${i}: ${text}`]);
      const made = choice([["", "none"], ...options]);
      made.addEventListener("change", () => {
        if (made.value === "") return;
        const start = Number(made.value) * values.length;
        values.set(model.examples.values.subarray(start, start + values.length));
        change();
      });
      found.push(labelled("Start from an example", made, "example"));
    }
    if (image) return [...found, ...canvasOfInput()];
    const controls = model.features.map(controlOf);
    listeners.push(() => controls.forEach((control, at) => control.set(values[at])));
    return [...found, ...controls.map((control) => control.box)];
  }

  // -- the answer ------------------------------------------------------------------------------------------------------

  // What is said once the input rests, so that a screen reader is not flooded.
  function answer() {
    const shown = make("p", { id: "answer" }), said = make("p", { class: "hidden", role: "status" });
    let timer = null;
    listeners.push(() => {
      const name = labelOf(state.predicted), { scores } = state;
      let text = `Predicted: ${name}.`;
      if (scores) {
        const rival = scores.reduce((best, score, c) => (c !== state.predicted && (best < 0 || score > scores[best]) ? c : best), -1);
        text += ` Its score is ${scores[state.predicted]}` + (rival < 0 ? "." : `, that of ${labelOf(rival)} ${scores[rival]}.`);
      }
      shown.textContent = text;
      root.dataset.predicted = state.predicted;
      clearTimeout(timer);
      timer = setTimeout(() => (said.textContent = text), 400);
    });
    return [shown, said];
  }

  function votes() {
    if (!model.votes) return [];
    const made = table("Votes", ["class", "score", ""]);
    listeners.push(() => {
      const order = [...state.scores.keys()].sort((a, b) => state.scores[b] - state.scores[a] || a - b).slice(0, 26);
      const most = Math.max(...order.map((c) => Math.abs(state.scores[c])), 1);
      made.show(order.map((c) => [labelOf(c), `${state.scores[c]}`, bar(state.scores[c] / most)]));
    });
    return [made.box];
  }

  function bits() {
    const text = make("p"), count = model.inputBits;
    const count_ones = () => state.bits.reduce((sum, bit) => sum + bit, 0);
    const title = make("h3", {}, "Bits");
    if (image && count % (image.width * image.height) === 0) {
      const planes = count / (image.width * image.height);
      const shown = Array.from({ length: planes }, () => picture(image.width, image.height, 3));
      listeners.push(() => {
        text.textContent = `${count_ones()} of ${count} bits are 1.`;
        shown.forEach(({ show }, plane) => {
          const first = plane * image.width * image.height;
          show((pixel) => (state.bits[first + pixel] ? [0, 74, 117] : [226, 232, 238]), `The bits of plane ${plane}`);
        });
      });
      return [title, text, make("p", { class: "pictures" }, ...shown.map(({ canvas }) => canvas))];
    }
    const made = table("The bits of the input", ["bit", "is", "value"]);
    listeners.push(() => {
      text.textContent = `${count_ones()} of ${count} bits are 1.`;
      made.show(model.wires.slice(0, 200).map((name, wire) => [`${wire}`, name, `${state.bits[wire]}`]));
    });
    const more = make("details", {}, make("summary", {}, `The first ${Math.min(200, count)} bits`), made.box);
    return [title, text, more];
  }

  function tables() {
    const title = make("h3", {}, "Tables"), text = make("p");
    const hidden = model.luts.reduce((sum, luts) => sum + luts.tables, 0);
    const below = model.paddedBits + 2;
    const ones = () => state.nodes.subarray(below).reduce((sum, bit) => sum + bit, 0);
    if (!model.votes) {
      listeners.push(() => (text.textContent = `${ones()} of ${hidden} tables and gates give 1.`));
      return [title, text];
    }
    const count = model.votes.tables, { inputs, wiring } = model.votes;
    const columns = Math.min(count, 64), shown = picture(columns, Math.ceil(count / columns), 5);
    const which = make("input", { type: "number", min: 0, max: count - 1, value: 0 });
    const said = make("p", { role: "status" });
    const nodeName = (node) => (node >= model.inputBits ? `table ${node - below} below` : nameOfBit(node));
    listeners.push(() => {
      const number = Math.max(0, state.predicted);
      const given = Array.from(state.indices, (index, at) => engine.voteOf(model, at, index, number));
      const most = Math.max(...given.map(Math.abs), 1);
      const tell = given.filter((vote) => vote > 0).length, against = given.filter((vote) => vote < 0).length;
      text.textContent =
        `${tell} of ${count} tables vote for ${labelOf(number)}` + (against ? `, and ${against} against it.` : ".") +
        (hidden ? ` Of the ${hidden} tables below them, ${ones()} give 1.` : "");
      const paint = (at) => {
        if (at >= count) return [255, 255, 255];
        const part = given[at] / most, light = Math.round(232 - 200 * Math.abs(part));
        return part >= 0 ? [light, light, 238] : [238, light, light];
      };
      shown.show(paint, `What each table votes for ${labelOf(number)}: ${text.textContent}`);
      const at = Math.max(0, Math.min(count - 1, Math.floor(Number(which.value) || 0)));
      const reads = Array.from({ length: inputs }, (_, i) => wiring[at * inputs + i]);
      said.textContent =
        `Table ${at} reads ${reads.map((node) => `${nodeName(node)}: ${state.nodes[node]}`).join("; ")}. ` +
        `At this index, ${state.indices[at]}, it gives ` +
        model.labels.slice(0, 26).map((name, c) => [name, engine.voteOf(model, at, state.indices[at], c)])
          .filter(([, vote]) => vote).map(([name, vote]) => `${name} ${signed(vote)}`).concat("the others 0").join(", ") + ".";
    });
    which.addEventListener("input", change);
    return [title, text, shown.canvas, labelled("Table number", which, "table"), said];
  }

  function nameOfPixel(at) {
    const size = image.width * image.height, pixel = at % size;
    const channel = image.channels > 1 ? `${["red", "green", "blue"][Math.floor(at / size)]}, ` : "";
    return `${channel}row ${Math.floor(pixel / image.width) + 1}, column ${(pixel % image.width) + 1}`;
  }

  function nameOfBit(bit) {
    if (!image) return model.wires[bit];
    const plane = Math.floor(bit / model.columns), planes = model.inputBits / model.columns;
    return nameOfPixel(bit % model.columns) + (planes > 1 ? `, threshold ${plane + 1}` : "");
  }

  // -- why: Shapley values ---------------------------------------------------------------------------------------------

  function why() {
    if (!model.shapley) return [];
    const { examples } = model.shapley;
    const text = make("p", { role: "status" });
    const number = choice([["", "the predicted one"], ...model.labels.slice(0, 1000).map((name, c) => [c, name])]);
    const made = table("The largest Shapley values", ["input", "value", "exactly", ""]);
    const start = make("button", { type: "button", id: "why" }, "Compute");
    const map = image && picture(image.width, image.height, 8);
    // Pixels have the sums of their channels.
    const onPixels = (values) => {
      const size = image.width * image.height, sums = new Float64Array(size);
      values.forEach((value, player) => (sums[player % size] += value));
      return sums;
    };
    const nameOf = (player) => (image ? nameOfPixel(player) : model.names[player]);
    start.addEventListener("click", () => {
      show();
      const c = number.value === "" ? Math.max(0, state.predicted) : Number(number.value);
      const found = engine.explain(model, state.bits, c), sum = found.values.reduce((a, b) => a + b, 0);
      const exactly = (value) => engine.fraction(value, found.denominator);
      text.textContent =
        `The score of ${labelOf(c)} is ${found.score}. Its mean over ${examples} training examples is ` +
        `${engine.fraction(found.baseline, examples)}; the values of all inputs sum to the difference, ${exactly(sum)}.`;
      const order = [...found.values.keys()].filter((player) => found.values[player]);
      order.sort((a, b) => Math.abs(found.values[b]) - Math.abs(found.values[a]) || a - b);
      const most = Math.abs(found.values[order[0]] ?? 1);
      made.show(order.slice(0, 20).map((player) => {
        const value = found.values[player];
        return [nameOf(player), signed(value / found.denominator), exactly(value), bar(Math.abs(value) / most)];
      }));
      root.dataset.shapley = JSON.stringify({ number: c, values: Array.from(found.values), denominator: found.denominator });
      if (!map) return;
      const sums = onPixels(found.values), largest = sums.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-9);
      const paint = (pixel) => {
        const part = sums[pixel] / largest, light = Math.round(255 - 200 * Math.abs(part));
        return part >= 0 ? [light, light, 255] : [255, light, light];
      };
      map.show(paint, `Shapley values of the pixels: blue is for ${labelOf(c)}, red against it. ${text.textContent}`);
    });
    const told =
      "Shapley values say how much each input moved the score of a class from its mean over training examples. They " +
      "are exact, as scores are sums of small tables.";
    return [make("h3", {}, "Why"), make("p", {}, told), labelled("Class", number, "why-class"), start, text,
      ...(map ? [map.canvas] : []), made.box];
  }

  root.replaceChildren(
    make("div", { class: "halves" }, make("div", {}, ...input()), make("div", {}, ...answer(), ...votes())),
    ...bits(), ...tables(), ...why(),
  );
  show();
})();
