/* The explorer: one state, one render(). Data: window.EXPLORER, see docs/tools/explorer.py. */
(() => {
  "use strict";
  const DATA = window.EXPLORER;
  const METHODS = Object.keys(DATA.methods);
  const MAPPED = METHODS.filter((m) => DATA.datasets.mnist.maps[m]);
  const $ = (id) => document.getElementById(id);
  const SCALE = 10000; // data keeps shares as whole numbers of 1/10,000

  const TABS = {
    removal: {
      name: "Remove links",
      x: "share of the links removed",
      variants: { random: "at random", ascending: "weakest first", descending: "strongest first" },
      notebook: "21_link_removal", experiments: ["robustness_summary", "link_removal"],
      probe: (v) => `${Math.round(100 * v)} % of links removed`,
      format: (v) => `${Math.round(100 * v)} %`,
      start: () => 0.3,
      caption: "Links of the three sparse layers are taken out of the trained network; nothing is trained again.",
    },
    attack: {
      name: "Attack",
      x: "radius of the attack (a pixel goes from 0 to 1)",
      variants: { linf: "each pixel (L∞)", l2: "whole image (L2)" },
      notebook: "22_adversarial_attacks", experiments: ["robustness_summary"],
      probe: (v) => `Radius ${v}`,
      format: (v) => `${v}`,
      start: (d) => d.radius,
      caption: "The attack (PGD) uses the gradient to change each image, by no more than the radius, so that the network makes a mistake.",
    },
    shuffle: {
      name: "Shuffle weights",
      x: "share of the weights shuffled",
      variants: { all: "all weights", sign: "only within the same sign" },
      notebook: "23_weight_shuffling", experiments: ["robustness_summary"],
      probe: (v) => `${Math.round(100 * v)} % of weights shuffled`,
      format: (v) => `${Math.round(100 * v)} %`,
      start: () => 0.2,
      caption: "Weights change places with each other; the links stay where they are.",
    },
  };
  const VIEWS = { accuracy: "accuracy", lead: "lead over fixed links" };
  const PANELS = { accuracy: "Accuracy", maps: "Links", robust: "Robustness", numbers: "Numbers" };
  const WHICH = { one: "one network", mean: "mean of 5" };

  const START = {
    data: "fashion_mnist", setting: "tuned", shown: ["set", "rigl", "fixed", "dense"], lit: "set", epoch: 150,
    view: "accuracy", tab: "removal", removal: "random", attack: "linf", shuffle: "all", which: "one",
    panel: "accuracy", // the one that a narrow screen shows
  };
  const state = { ...START, shown: [...START.shown] };
  let probe = null; // place on the x axis of the disturbance; null: where the tab starts
  let pixel = null; // index of the pixel that is read
  let timer = null;

  // ------------------------------------------------------------------------------- numbers in words
  const percent = (v, digits = 2) => `${((100 * v) / SCALE).toFixed(digits)} %`;
  const signed = (v, digits = 2) => `${v < 0 ? "−" : "+"}${Math.abs(v).toFixed(digits)}`;
  const minus = (v, digits) => `${v < 0 ? "−" : ""}${Math.abs(v).toFixed(digits)}`;
  const range = (low, high, digits) => (low === null ? "" : `[${minus((100 * low) / SCALE, digits)}, ${minus((100 * high) / SCALE, digits)}]`);
  const thousands = (n) => n.toLocaleString("en-US");
  const current = () => DATA.datasets[state.data];
  const networks = () => current().settings[state.setting]; // by method, those of the setting
  const visible = () => state.shown.filter((m) => networks()[m]);
  const lastEpoch = () => networks()[DATA.base].accuracy[0].length;
  const epochNow = () => Math.min(state.epoch, lastEpoch());
  const at = (y, k) => y.map((side) => side[Math.min(k, side.length - 1)]);
  const ordered = (list) => METHODS.filter((m) => list.includes(m));
  const color = (m) => `var(--c-${m})`;
  const name = (m) => DATA.methods[m].name;
  const seeds = (ns) => (new Set(ns).size === 1 ? `${ns[0]} networks` : `${Math.min(...ns)} to ${Math.max(...ns)} networks`);
  const bracket = ([, low, high], digits = 2) => `[${minus(low, digits)}, ${minus(high, digits)}]`; // of points

  function cautions() {
    return [
      "Nothing is trained on this page: it draws what was measured and stored.",
      "Networks have three hidden layers of 1,000 neurons, small dense of 43. Choose another width or length of training under Setting.",
      "Learning rate and dropout were chosen for each method, so they differ; the card shows them. Dropout alone can change the order under attack: choose equal dropout to see it.",
      "Accuracy is of all 10,000 test images. Attacks, shuffling and removal at random are of 1,000, removal in order is of 2,000: curves start at slightly different values.",
      "Each interval stands for itself. Among many comparisons some differ by chance; the notebooks have the tests.",
    ];
  }

  // ------------------------------------------------------------------------------- state
  function update(change) {
    if ("data" in change || "tab" in change || TABS[state.tab] && state.tab in change) probe = null;
    Object.assign(state, change);
    state.shown = ordered(state.shown);
    settle();
    render();
    remember();
  }

  function settle() { // at least one method of the setting is shown, and one that is shown is lit
    if (!visible().length) state.shown = ordered([...state.shown, ...Object.keys(networks())]);
    if (!visible().includes(state.lit)) state.lit = visible()[0];
    const removals = networks()[state.lit].removal;
    if (removals && !removals[state.removal]) state.removal = "random";
  }

  function remember() {
    const parts = Object.keys(START).map((k) => `${k}=${Array.isArray(state[k]) ? state[k].join("+") : state[k]}`);
    try { history.replaceState(null, "", `#${parts.join("&")}`); } catch { /* some browsers refuse on file: */ }
  }

  function recall() {
    const allowed = { data: DATA.datasets, setting: DATA.settings, view: VIEWS, tab: TABS, which: WHICH, lit: DATA.methods, panel: PANELS };
    for (const t of Object.keys(TABS)) allowed[t] = TABS[t].variants;
    for (const part of location.hash.slice(1).split("&")) {
      const [key, value = ""] = part.split("=");
      if (key === "epoch" && /^\d+$/.test(value)) state.epoch = Math.min(150, +value);
      else if (key === "shown") state.shown = ordered(value.split("+"));
      else if (allowed[key] && Object.hasOwn(allowed[key], value)) state[key] = value;
    }
    settle();
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    $("play").setAttribute("aria-pressed", "false");
    $("play").firstElementChild.textContent = "▶";
  }

  function play(from, to) {
    stop();
    const path = d3.range(0, 10).concat(d3.range(10, 50, 2), d3.range(50, 151, 5)).filter((e) => e >= from && e <= to);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) path.splice(0, path.length, to);
    $("play").setAttribute("aria-pressed", "true");
    $("play").firstElementChild.textContent = "⏸";
    timer = setInterval(() => {
      const epoch = path.shift();
      if (epoch === undefined) return stop();
      update({ epoch });
    }, 110);
  }

  // ------------------------------------------------------------------------------- a chart of curves
  const SYMBOLS = { diamond: d3.symbolDiamond, star: d3.symbolStar, wye: d3.symbolWye, circle: d3.symbolCircle, square: d3.symbolSquare, triangle: d3.symbolTriangle, diamond2: d3.symbolDiamond2, cross: d3.symbolCross, times: d3.symbolTimes };
  const mark = (m, size) => d3.symbol(SYMBOLS[DATA.methods[m].symbol], size)();

  function paint(sel, m) { // closed symbols are filled, crosses drawn
    const open = DATA.methods[m].symbol === "times";
    return sel.style("fill", open ? "none" : color(m)).style("stroke", open ? color(m) : "var(--surface)").attr("stroke-width", open ? 2 : 1);
  }

  /* curves: [{m, x: [], y: [mean, low, high]}] in shares × SCALE; options: xDomain, yDomain, labels,
     formats, every (marker at every n-th place), now (a vertical line), zero, title, onPlace. */
  function chart(host, curves, o) {
    const { width, height } = host.getBoundingClientRect();
    if (!width) return;
    const narrow = width < 480;
    const longest = d3.max(curves, (c) => name(c.m).length); // names stand to the right
    const margin = { top: 22, right: 20 + 8.4 * longest, bottom: 38, left: 40 };
    const x = d3.scaleLinear(o.xDomain, [margin.left, width - margin.right]);
    const y = d3.scaleLinear(o.yDomain, [height - margin.bottom, margin.top]);
    const clip = `${host.id}-clip`;
    const svg = d3.select(host).selectAll("svg").data([0]).join("svg").attr("role", "img").attr("aria-label", o.title).attr("viewBox", `0 0 ${width} ${height}`);
    svg.selectAll("*").remove();

    svg.append("clipPath").attr("id", clip).append("rect").attr("x", margin.left).attr("y", margin.top - 2).attr("width", width - margin.left - margin.right + 8).attr("height", height - margin.top - margin.bottom + 8);
    const yTicks = y.ticks(5);
    svg.append("g").selectAll("line").data(yTicks).join("line").attr("class", "grid").attr("x1", margin.left).attr("x2", width - margin.right).attr("y1", y).attr("y2", y);
    if (o.chance) {
      svg.append("line").attr("class", "chance").attr("x1", margin.left).attr("x2", width - margin.right).attr("y1", y(o.chance)).attr("y2", y(o.chance));
      svg.append("text").attr("x", margin.left + 4).attr("y", y(o.chance) - 5).text("guessing");
    }
    if (o.zero) svg.append("line").attr("class", "zero").attr("x1", margin.left).attr("x2", width - margin.right).attr("y1", y(0)).attr("y2", y(0));
    svg.append("g").selectAll("text").data(yTicks).join("text").attr("x", margin.left - 6).attr("y", y).attr("dy", ".32em").attr("text-anchor", "end").text(o.yFormat);
    svg.append("g").selectAll("text").data(x.ticks(narrow ? 4 : 6)).join("text").attr("x", x).attr("y", height - margin.bottom + 16).attr("text-anchor", "middle").text(o.xFormat);
    svg.append("text").attr("x", margin.left).attr("y", 10).text(o.yLabel);
    svg.append("text").attr("x", (margin.left + width - margin.right) / 2).attr("y", height - 4).attr("text-anchor", "middle").text(o.xLabel);
    svg.append("rect").attr("x", margin.left).attr("y", margin.top).attr("width", width - margin.left - margin.right).attr("height", height - margin.top - margin.bottom).style("fill", "transparent").style("cursor", "col-resize")
      .on("click", (event) => o.onPlace(x.invert(d3.pointer(event)[0])))
      .on("pointermove", (event) => event.buttons === 1 && o.onPlace(x.invert(d3.pointer(event)[0])));
    svg.append("line").attr("class", "now").attr("x1", x(o.now)).attr("x2", x(o.now)).attr("y1", margin.top).attr("y2", height - margin.bottom).style("pointer-events", "none");

    // names at the ends of the lines, moved apart
    const names = curves.map((c) => ({ m: c.m, at: y(c.y[0][c.y[0].length - 1]) })).sort((a, b) => a.at - b.at);
    const gap = 17;
    for (let i = 1; i < names.length; i++) names[i].at = Math.max(names[i].at, names[i - 1].at + gap);
    for (let i = names.length - 1, limit = height - margin.bottom; i >= 0; i--, limit -= gap) names[i].at = Math.min(names[i].at, limit);
    const place = new Map(names.map((n) => [n.m, n.at]));

    const drawn = [...curves].sort((a, b) => (a.m === state.lit) - (b.m === state.lit)); // highlighted on top
    for (const c of drawn) {
      const lit = c.m === state.lit;
      const g = svg.append("g").attr("class", `series ${lit ? "lit" : "dim"}`).attr("data-m", c.m).on("click", () => update({ lit: c.m }));
      const k = d3.range(c.x.length);
      const inside = g.append("g").attr("clip-path", `url(#${clip})`);
      if (c.y[1][0] !== null || c.y[1][1] !== null) {
        inside.append("path").attr("class", "band").style("fill", color(c.m)).style("pointer-events", "none")
          .attr("d", d3.area((i) => x(c.x[i]), (i) => y(c.y[1][i]), (i) => y(c.y[2][i]))(k));
      }
      const line = d3.line((i) => x(c.x[i]), (i) => y(c.y[0][i]))(k);
      inside.append("path").attr("class", "line").attr("d", line).style("stroke", color(c.m)).attr("stroke-dasharray", DATA.methods[c.m].dash).attr("stroke-width", lit ? 3.5 : 2);
      inside.append("path").attr("class", "hit").attr("d", line);
      const marked = k.filter((i) => (i + 1) % o.every === 0);
      paint(inside.append("g").selectAll("path").data(marked).join("path").attr("d", mark(c.m, lit ? 80 : 46)).attr("transform", (i) => `translate(${x(c.x[i])},${y(c.y[0][i])})`), c.m);
      g.append("text").attr("x", width - margin.right + 10).attr("y", place.get(c.m)).attr("dy", ".32em").style("fill", color(c.m)).style("font-weight", lit ? 800 : 600).text(name(c.m));
    }
  }

  function renderAccuracy() {
    const lead = state.view === "lead";
    const nets = networks();
    const last = lastEpoch();
    const curves = visible().map((m) => {
      const y = lead ? nets[m].leadBlocks : nets[m].accuracy;
      if (y) return { m, x: y[0].map((_, i) => (lead ? DATA.block * (i + 1) : i + 1)), y };
      if (m !== DATA.base) return null; // of another length: it has a lead at the end alone
      const epochs = d3.range(DATA.block, last + 1, DATA.block);
      return { m, x: epochs, y: Array(3).fill(epochs.map(() => 0)) };
    }).filter(Boolean);
    const title = `${lead ? "Lead over fixed links" : "Test accuracy"} against epochs, ${where()}; the values at epoch ${epochNow()} stand in the table.`;
    // The axis holds the means but the first, and the intervals at the end; what is beyond is cut.
    const means = curves.flatMap((c) => c.y[0].slice(1));
    const ends = curves.flatMap((c) => c.y.map((side) => side[side.length - 1]));
    const yDomain = d3.extent(lead ? [...means, ...ends, -20, 20] : [...means, ...ends]);
    chart($("accuracy-chart"), curves, {
      xDomain: [0, last], yDomain, zero: lead, title, every: lead ? Math.max(1, last / 30) : last / 6, now: epochNow(),
      xLabel: "epoch", yLabel: lead ? "points above fixed links" : "test accuracy, percent",
      xFormat: (v) => v, yFormat: (v) => (lead ? `${v > 0 ? "+" : v < 0 ? "−" : ""}${Math.abs(v / 100).toFixed(v % 100 ? 1 : 0)}` : (v / 100).toFixed(v % 100 ? 1 : 0)),
      onPlace: (v) => { stop(); update({ epoch: Math.max(0, Math.min(last, Math.round(v))) }); },
    });
    const pruned = visible().includes("dense_pruned") ? (lead ? " Pruned networks train for 50 epochs only: the card has their lead." : " Pruned: the 50 epochs after pruning.") : "";
    $("accuracy-caption").textContent = `${where()}: mean of ${seeds(curves.map((c) => nets[c.m].n))} and 95 % interval.${lead ? ` Each point is the mean of ${DATA.block} epochs.` : " Press into the chart to choose an epoch."}${pruned}`;
  }

  const where = () => `${current().name}, ${DATA.settings[state.setting].name}`;
  const curveOf = (m) => networks()[m][state.tab]?.[state[state.tab]];

  function probeIndex() {
    const places = curveOf(visible()[0]).x;
    const wanted = probe ?? (state.tab === "attack" && state.attack === "l2" ? 1.5 : TABS[state.tab].start(current()));
    return d3.minIndex(places, (v) => Math.abs(v - wanted));
  }

  const isMeasured = () => visible().every(curveOf);

  function renderRobust() {
    const tab = TABS[state.tab];
    const measured = isMeasured();
    $("robust-chart").hidden = $("robust-probe").hidden = !measured;
    $("variants").hidden = !measured;
    link("robust", tab.notebook, tab.experiments);
    if (!measured) {
      $("robust-chart").replaceChildren();
      $("probe-readout").textContent = "";
      $("robust-caption").textContent = `Not measured for networks of the setting “${DATA.settings[state.setting].name}”. Choose another setting to see this chart.`;
      return;
    }
    const curves = visible().map((m) => ({ m, ...curveOf(m) }));
    const places = curves[0].x;
    const k = probeIndex();
    chart($("robust-chart"), curves, {
      xDomain: [0, places[places.length - 1]], yDomain: [0, SCALE], chance: SCALE / 10, every: places.length > 15 ? 4 : 2, now: places[k],
      title: `Test accuracy against the ${tab.x}, ${where()}; the values at the dotted line stand below.`,
      xLabel: tab.x, yLabel: "test accuracy, percent", xFormat: tab.format, yFormat: (v) => (v / 100).toFixed(0),
      onPlace: (v) => { probe = v; render(); },
    });
    const slider = $("probe");
    slider.max = places.length - 1;
    slider.value = k;
    slider.setAttribute("aria-valuetext", tab.probe(places[k]));
    $("probe-label").textContent = tab.probe(places[k]);
    $("probe-readout").innerHTML = [...curves].sort((a, b) => b.y[0][k] - a.y[0][k])
      .map((c) => `<span>${c.m === state.lit ? "<b>" : ""}${name(c.m)} ${percent(c.y[0][k], 1)}${c.m === state.lit ? "</b>" : ""}</span>`).join(" · ");
    $("robust-caption").textContent = `${tab.caption} ${where()}, at the end of training: mean of ${seeds(curves.map((c) => c.n))}.`;
  }

  // ------------------------------------------------------------------------------- maps of links
  const MOST = 40; // links: the brightest colour
  const shade = (n) => d3.interpolateCividis(Math.min(n, MOST) / MOST);
  const unpack = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const unpacked = new Map();

  function mapAt(m) {
    const map = current().maps[m];
    let k = 0;
    while (k + 1 < map.epochs.length && map.epochs[k + 1] <= epochNow()) k++;
    const key = [state.data, m, state.which, k].join();
    if (!unpacked.has(key)) {
      const scale = state.which === "mean" ? DATA.meanScale : 1;
      unpacked.set(key, Array.from(unpack(map[state.which][k]), (v) => v / scale));
    }
    return { links: unpacked.get(key), epoch: map.epochs[k], match: map.match[k], empty: map.empty[k] };
  }

  function fill(canvas, numbers, paintOne) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(28, 28);
    numbers.forEach((n, i) => {
      const c = d3.rgb(paintOne(n));
      image.data.set([c.r, c.g, c.b, 255], 4 * i);
    });
    context.putImageData(image, 0, 0);
  }

  function renderMaps() {
    const d = current();
    const drawn = visible().filter((m) => MAPPED.includes(m));
    const rest = visible().filter((m) => !MAPPED.includes(m));
    const host = $("maps");
    const wanted = drawn.concat("images").join();
    if (host.dataset.of !== wanted) {
      host.dataset.of = wanted;
      host.innerHTML = drawn.map((m) => `<figure class="map" data-m="${m}" style="--mark:${color(m)}"><button type="button"><canvas width="28" height="28"></canvas><i hidden></i></button><figcaption></figcaption></figure>`).join("")
        + `<figure class="map" data-m="images"><div class="plain"><canvas width="28" height="28" role="img" aria-label="How much each pixel differs between images"></canvas><i hidden></i></div><figcaption></figcaption></figure>`;
      for (const button of host.querySelectorAll("button")) {
        const m = button.parentElement.dataset.m;
        const read = (event) => {
          const box = button.firstElementChild.getBoundingClientRect();
          const [c, r] = [event.clientX - box.left, event.clientY - box.top].map((v) => Math.max(0, Math.min(27, Math.floor((28 * v) / box.width))));
          pixel = 28 * r + c;
        };
        button.addEventListener("pointermove", (event) => { read(event); renderPixel(); });
        button.addEventListener("click", (event) => { if (event.detail) read(event); update({ lit: m }); });
        button.addEventListener("keydown", (event) => {
          const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -28, ArrowDown: 28 }[event.key];
          if (!move) return;
          event.preventDefault();
          pixel = ((pixel ?? 406) + move + 784) % 784;
          renderPixel();
        });
      }
    }
    let epoch = 0;
    for (const figure of host.children) {
      const m = figure.dataset.m;
      if (m === "images") {
        fill(figure.querySelector("canvas"), Array.from(unpack(d.spread)), (v) => d3.interpolateGreys(1 - v / 255));
        figure.querySelector("figcaption").innerHTML = `<b>The images</b><br>bright: pixels that differ most between images`;
        continue;
      }
      const now = mapAt(m);
      epoch = Math.max(epoch, now.epoch);
      fill(figure.querySelector("canvas"), now.links, shade);
      figure.classList.toggle("lit", m === state.lit);
      const match = minus(now.match, 2);
      figure.querySelector("button").setAttribute("aria-label", `${name(m)}: map of input links. Match with the images ${match}. Arrow keys read single pixels.`);
      figure.querySelector("button").setAttribute("aria-pressed", m === state.lit);
      figure.querySelector("figcaption").innerHTML = `<b>${name(m)}</b><br>match ${match}<br>${thousands(now.empty)} pixels without links`;
    }
    const none = rest.length ? ` No map: ${rest.map((m) => `${name(m)} (always ${thousands(networks()[m].widths[0])} links a pixel)`).join(", ")}.` : "";
    const of = state.setting === "tuned" ? "" : " Maps are stored for networks with “one weight decay”.";
    $("maps-caption").textContent = drawn.length
      ? `A small square is one input pixel, ${d.name}, ${state.which === "one" ? "one network" : "mean of 5 networks"}${drawn.some((m) => d.maps[m].epochs.length > 1) ? `, after epoch ${epoch}` : ", whose links never move"}. Match: 1 where links follow the images fully, 0 where they do not.${of}${none}`
      : `Tick SET, RigL or fixed links to see their maps.${none}`;
    renderPixel();
  }

  function renderPixel() {
    for (const box of $("maps").querySelectorAll("i")) {
      box.hidden = pixel === null;
      if (pixel === null) continue;
      box.style.left = `${((pixel % 28) * 100) / 28}%`;
      box.style.top = `${(Math.floor(pixel / 28) * 100) / 28}%`;
    }
    const drawn = visible().filter((m) => MAPPED.includes(m));
    $("pixel-readout").textContent = pixel === null
      ? "Point at a map, or tap it, to count the links of one pixel."
      : `Row ${Math.floor(pixel / 28) + 1}, column ${(pixel % 28) + 1}: ` + (drawn.map((m) => `${name(m)} ${mapAt(m).links[pixel].toFixed(state.which === "mean" ? 1 : 0)}`).join(" · ") || "no map shown") + " links";
  }

  // ------------------------------------------------------------------------------- card and table
  function leadOf(m, e) { // at an epoch; at the end where networks trained for other lengths
    const net = networks()[m];
    if (net.lead) return at(net.lead, e).map((v) => (100 * v) / SCALE);
    return net.leadEnd;
  }

  function renderCard() {
    const m = state.lit;
    const net = networks()[m];
    const e = Math.min(Math.max(1, epochNow()), net.accuracy[0].length) - 1;
    const a = at(net.accuracy, e);
    const lead = leadOf(m, e);
    const dense = current().settings.tuned.dense.links;
    const share = (100 * net.links) / dense;
    const kept = isMeasured() ? at(curveOf(m).y, probeIndex()) : null;
    const card = $("card");
    card.style.setProperty("--mark", color(m));
    const untrained = state.epoch === 0 ? " (first value: epoch 1)" : "";
    const ofDense = state.setting === "wide" ? "" : `<small>${share < 100 ? `${share.toFixed(1)} % of dense` : "all"}</small>`;
    card.innerHTML = `<h2>${name(m)}, ${current().name}</h2><p class="words">${DATA.methods[m].words}</p>
      <p><span class="big">${percent(a[0])}</span> <span class="caption">after epoch ${e + 1}${untrained}, 95 % interval ${range(a[1], a[2], 2)}, mean of ${net.n} networks</span></p>
      <dl><dt>Links</dt><dd>${thousands(net.links)} ${ofDense}</dd>
      <dt>Lead${net.lead || !lead ? "" : " at the end"}</dt><dd>${lead ? `${signed(lead[0])} <small>${bracket(lead)}</small>` : "<small>others are compared with it</small>"}</dd>
      ${kept ? `<dt>${TABS[state.tab].probe(curveOf(m).x[probeIndex()])}</dt><dd>${percent(kept[0], 1)} <small>${range(kept[1], kept[2], 1)}</small></dd>` : ""}
      <dt>Settings</dt><dd><small>rate ${net.rate}, dropout ${net.dropout}, decay ${net.decay}</small></dd></dl>
      <details><summary>Stored records</summary><p class="caption">In <code>data/results</code>: ${net.records.map((r) => `<code>${r}</code>`).join(" ")}</p></details>`;
  }

  function renderTable() {
    const e = Math.max(1, epochNow()) - 1;
    const measured = isMeasured();
    const k = measured ? probeIndex() : 0;
    const rows = visible().map((m) => {
      const net = networks()[m];
      const a = at(net.accuracy, e);
      const lead = leadOf(m, e);
      const kept = measured ? at(curveOf(m).y, k) : null;
      return `<tr class="${m === state.lit ? "lit" : ""}"><th scope="row">${name(m)}</th><td>${thousands(net.links)}</td><td>${percent(a[0])} <small>${range(a[1], a[2], 2)}</small></td><td>${lead ? `${signed(lead[0])} <small>${bracket(lead)}</small>` : "–"}</td>${kept ? `<td>${percent(kept[0], 1)} <small>${range(kept[1], kept[2], 1)}</small></td>` : ""}<td>${net.dropout}</td></tr>`;
    });
    const probed = measured ? `<th scope="col">${TABS[state.tab].probe(curveOf(visible()[0]).x[k])}</th>` : "";
    $("table").innerHTML = `<caption class="hidden">${where()}</caption><thead><tr><th scope="col">Method</th><th scope="col">Links</th><th scope="col">Accuracy, epoch ${e + 1}</th><th scope="col">Lead, points</th>${probed}<th scope="col">Dropout</th></tr></thead><tbody>${rows.join("")}</tbody>`;
  }

  function link(panel, notebook, experiments) { // where the numbers of a panel come from
    const host = $(`${panel}-source`);
    host.innerHTML = `<a href="notebooks/${notebook}.html">Notebook ${notebook.slice(0, 2)}</a> · records ${experiments.map((e) => `<code>${e}</code>`).join(", ")}`;
  }

  // ------------------------------------------------------------------------------- controls
  function choice(id, options, get, set) { // a row of radio buttons
    const host = $(id);
    const key = Object.keys(options).join();
    if (host.dataset.of !== key) {
      host.dataset.of = key;
      host.querySelectorAll("label").forEach((label) => label.remove());
      for (const [value, name] of Object.entries(options)) {
        const label = document.createElement("label");
        label.innerHTML = `<input type="radio" name="${id}" value="${value}"><span>${name}</span>`;
        label.firstElementChild.addEventListener("change", () => set(value));
        host.append(label);
      }
    }
    for (const input of host.querySelectorAll("input")) input.checked = input.value === get;
  }

  function swatch(m) {
    return `<svg width="38" height="16" aria-hidden="true"><line x1="1" x2="37" y1="8" y2="8" style="stroke:${color(m)}" stroke-width="2.5" stroke-dasharray="${DATA.methods[m].dash}"/><path transform="translate(19,8)" d="${mark(m, 60)}" style="fill:${DATA.methods[m].symbol === "times" ? "none" : color(m)};stroke:${DATA.methods[m].symbol === "times" ? color(m) : "var(--surface)"}" stroke-width="${DATA.methods[m].symbol === "times" ? 2 : 1}"/></svg>`;
  }

  function build() {
    const rules = (mode) => METHODS.map((m) => `--c-${m}:${DATA.methods[m][mode]}`).join(";");
    const style = document.createElement("style");
    style.textContent = `:root{${rules("light")}}@media(prefers-color-scheme:dark){:root{${rules("dark")}}}`;
    document.head.append(style);
    for (const [key, setting] of Object.entries(DATA.settings)) $("setting").add(new Option(setting.name, key));
    $("setting").addEventListener("change", () => update({ setting: $("setting").value }));
    $("cautions").innerHTML = cautions().map((text) => `<li>${text}</li>`).join("");
    for (const m of METHODS) {
      const row = document.createElement("div");
      row.className = "method";
      row.innerHTML = `<label class="box"><input type="checkbox" value="${m}"><span class="hidden">Show ${name(m)}</span></label><button type="button" value="${m}" title="${DATA.methods[m].words}">${swatch(m)}<span>${name(m)}</span></button>`;
      row.querySelector("input").addEventListener("change", (event) => update({ shown: event.target.checked ? [...state.shown, m] : state.shown.filter((s) => s !== m) }));
      row.querySelector("button").addEventListener("click", () => update({ lit: m, shown: [...new Set([...state.shown, m])] }));
      $("methods").append(row);
    }
    for (const [key, tab] of Object.entries(TABS)) {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", id: `tab-${key}`, textContent: tab.name });
      button.setAttribute("role", "tab");
      button.setAttribute("aria-controls", "robust-panel");
      button.addEventListener("click", () => update({ tab: key }));
      button.addEventListener("keydown", (event) => {
        const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!move) return;
        const keys = Object.keys(TABS);
        const next = keys[(keys.indexOf(state.tab) + move + keys.length) % keys.length];
        update({ tab: next });
        $(`tab-${next}`).focus();
      });
      $("tabs").append(button);
    }
    $("epoch").addEventListener("input", (event) => { stop(); update({ epoch: +event.target.value }); });
    $("play").addEventListener("click", () => (timer ? stop() : play(state.epoch >= lastEpoch() ? 0 : state.epoch, lastEpoch())));
    $("probe").addEventListener("input", (event) => { probe = curveOf(visible()[0]).x[+event.target.value]; render(); });
    link("maps", "15_visible_connectivity", ["adaptive_topology"]);
    const legend = $("legend").getContext("2d");
    for (let i = 0; i < 256; i++) {
      legend.fillStyle = d3.interpolateCividis(i / 255);
      legend.fillRect(i, 0, 1, 1);
    }
    new ResizeObserver(() => { renderAccuracy(); renderRobust(); placeTicks(); }).observe($("accuracy-chart"));
    addEventListener("hashchange", () => { recall(); render(); });
  }

  function placeTicks() { // numbers under the bar of colours
    const bar = $("legend").getBoundingClientRect();
    const host = $("legend-ticks");
    host.style.width = `${bar.width}px`;
    host.style.left = `${bar.left - host.parentElement.getBoundingClientRect().left}px`;
    host.innerHTML = [0, 10, 20, 30, MOST].map((n) => `<span style="left:${(100 * n) / MOST}%">${n}${n === MOST ? "+" : ""}</span>`).join("");
  }

  function variants() { // those of the tab that were measured in the setting
    const measured = networks()[state.lit][state.tab] ?? {};
    return Object.fromEntries(Object.entries(TABS[state.tab].variants).filter(([key]) => measured[key]));
  }

  function render() {
    choice("datasets", Object.fromEntries(Object.entries(DATA.datasets).map(([k, d]) => [k, d.name])), state.data, (data) => update({ data }));
    choice("panels", PANELS, state.panel, (panel) => update({ panel }));
    document.body.dataset.panel = state.panel;
    $("setting").value = state.setting;
    const missing = METHODS.some((m) => !networks()[m]);
    $("setting-words").textContent = DATA.settings[state.setting].words + (missing ? " Methods that are crossed out were not run in this setting." : "");
    link("accuracy", DATA.settings[state.setting].notebook, DATA.settings[state.setting].experiments);
    choice("views", VIEWS, state.view, (view) => update({ view }));
    choice("variants", variants(), state[state.tab], (value) => update({ [state.tab]: value }));
    choice("whiches", WHICH, state.which, (which) => update({ which }));
    $("epoch").max = lastEpoch();
    $("epoch").value = epochNow();
    $("epoch").setAttribute("aria-valuetext", `epoch ${epochNow()}`);
    $("epoch-value").textContent = epochNow();
    for (const row of $("methods").querySelectorAll(".method")) {
      const [input, button] = [row.querySelector("input"), row.querySelector("button")];
      const isThere = Boolean(networks()[button.value]);
      input.checked = visible().includes(button.value);
      input.disabled = !isThere || (input.checked && visible().length === 1);
      button.disabled = !isThere;
      button.title = isThere ? DATA.methods[button.value].words : "Not run in this setting.";
      button.setAttribute("aria-pressed", button.value === state.lit);
      button.classList.toggle("off", !input.checked);
    }
    for (const key of Object.keys(TABS)) {
      const chosen = key === state.tab;
      $(`tab-${key}`).setAttribute("aria-selected", chosen);
      $(`tab-${key}`).tabIndex = chosen ? 0 : -1;
    }
    $("robust-panel").setAttribute("aria-labelledby", `tab-${state.tab}`);
    renderAccuracy();
    renderRobust();
    renderMaps();
    renderCard();
    renderTable();
  }

  recall();
  build();
  render();
  addEventListener("hashchange", () => { // a sentence at the top was pressed
    stop();
    probe = null;
    Object.assign(state, START);
    recall();
    render();
  });
})();
