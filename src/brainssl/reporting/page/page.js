// Draws the figures from the specifications beside them; nothing leaves the page.
(() => {
  "use strict";
  const NARROW = 560, PRINTED = 660;
  const merge = (base, more) => {
    const out = { ...base };
    for (const [key, value] of Object.entries(more ?? {})) {
      const plain = value !== null && typeof value === "object" && !Array.isArray(value);
      out[key] = plain ? merge(out[key] ?? {}, value) : value;
    }
    return out;
  };
  const STYLE = {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 13 },
    margin: { l: 52, r: 12, t: 12, b: 44 },
    hovermode: "closest",
    hoverlabel: { font: { size: 13 }, namelength: -1 },
    xaxis: { showline: true, zeroline: false, automargin: true, ticks: "outside", ticklen: 4, tickcolor: "rgba(128,128,128,.5)", title: { font: { size: 13 } } },
    yaxis: { showline: false, zeroline: false, automargin: true, title: { standoff: 10, font: { size: 13 } } },
  };
  const CONFIG = { displayModeBar: false, responsive: false };

  // Figures that share the names of their rows have them once, at the left of the page.
  const BARE = { margin: { l: 4 }, yaxis: { showticklabels: false } };
  const bare = (canvas) => canvas.closest(".plot").classList.contains("bare");
  const arrange = (printed) => {
    for (const grid of document.querySelectorAll(".shared .grid")) {
      const across = printed || innerWidth >= 768 ? Number(grid.dataset.across) : 1;
      [...grid.children].forEach((plot, place) => plot.classList.toggle("bare", place % across > 0));
    }
  };
  const onPaper = (canvas) => {
    const grid = canvas.closest(".multiples .grid");
    if (!grid) return PRINTED;
    const labels = Number(grid.dataset.labels), across = Number(grid.dataset.across);
    if (!labels) return PRINTED / 3 - 12;
    return (PRINTED - labels - 12 * (across - 1)) / across + (bare(canvas) ? 0 : labels);
  };
  // A legend stands beside the plot where there is room and below it where there is none.
  const layoutFor = (canvas, spec, width) => {
    const entries = spec.data.filter((trace) => trace.showlegend !== false && trace.name).length;
    const longest = Math.max(0, ...spec.data.map((trace) => (trace.name ?? "").length));
    const besides = width >= NARROW && width - longest * 7 - 50 > 300;
    const line = 19, inner = Number(canvas.dataset.height);
    const legend = besides
      ? { x: 1.02, y: 1, xanchor: "left", yanchor: "top" }
      : { x: 0, y: 0, yref: "container", xanchor: "left", yanchor: "bottom", orientation: "v" };
    const below = besides || entries < 2 ? 0 : entries * line + 10;
    const plot = canvas.hasAttribute("data-square") && !besides ? Math.min(inner, width) : inner;
    const own = merge(merge(STYLE, spec.layout), bare(canvas) ? BARE : {});
    return merge(own, {
      width, height: Math.max(plot, besides ? entries * line + 60 : 0) + below,
      legend: { font: { size: 12 }, tracegroupgap: 0, ...legend }, margin: { b: (spec.layout.margin?.b ?? 44) + below },
    });
  };
  // Where points stand for images: what each is, beside it, and where else on the page it lies.
  const tell = (canvas) => {
    const section = canvas.closest("main > section"), tip = section.querySelector(".slices");
    if (!tip) return;
    const names = JSON.parse(tip.querySelector("script").textContent), picture = tip.querySelector("img");
    const points = canvas.data.flatMap((trace) => trace.x.map((x, i) => ({ x, place: trace.customdata[i] })));
    const walk = points.sort((one, other) => one.x - other.x).map((point) => point.place);
    const markOf = (plot, place) => {
      const curve = plot.data.findIndex((trace) => trace.customdata.includes(place));
      const marks = plot.querySelectorAll(".scatterlayer .trace")[curve]?.querySelectorAll(".point");
      return marks?.[plot.data[curve].customdata.indexOf(place)];
    };
    const hide = () => {
      tip.hidden = true;
      for (const mark of section.querySelectorAll(".shown")) mark.classList.remove("shown");
    };
    const show = (place) => {
      hide();
      for (const plot of section.querySelectorAll(".js-plotly-plot")) markOf(plot, place)?.classList.add("shown");
      tip.querySelector("p").textContent = names[place];
      if (picture) {
        const columns = Number(tip.dataset.columns);
        picture.style.left = `${-100 * (place % columns)}%`;
        picture.style.top = `${-100 * Math.floor(place / columns)}%`;
      }
      tip.hidden = false;
      const mark = markOf(canvas, place).getBoundingClientRect(), gap = 8;
      const x = Math.min(mark.right + gap, document.documentElement.clientWidth - tip.offsetWidth - gap);
      const below = mark.bottom + gap, above = mark.top - gap - tip.offsetHeight;
      tip.style.left = `${Math.max(0, x)}px`;
      tip.style.top = `${below + tip.offsetHeight > innerHeight ? above : below}px`;
    };
    canvas.on("plotly_hover", ({ points: [point] }) => show(point.customdata));
    canvas.on("plotly_unhover", hide);
    addEventListener("scroll", hide, { passive: true });
    canvas.tabIndex = 0;
    canvas.addEventListener("blur", hide);
    let at = -1;
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step) return;
      event.preventDefault();
      at = (Math.max(at, step < 0 ? 0 : -1) + step + walk.length) % walk.length;
      show(walk[at]);
    });
  };
  const canvases = [...document.querySelectorAll(".canvas")];
  const draw = (canvas, width) => {
    const wide = width ?? canvas.clientWidth;
    const state = `${wide}${bare(canvas)}`;
    if (wide === 0 || canvas.dataset.drawn === state) return;
    const spec = JSON.parse(canvas.nextElementSibling.textContent);
    const first = !canvas.dataset.drawn;
    if (first) canvas.replaceChildren();
    canvas.dataset.drawn = state;
    Plotly.react(canvas, spec.data, layoutFor(canvas, spec, wide), CONFIG);
    if (first) tell(canvas);
  };
  const drawAll = () => {
    arrange(false);
    for (const canvas of canvases) draw(canvas);
  };

  for (const choice of document.querySelectorAll(".choice")) {
    const select = choice.querySelector("select");
    if (!select) continue;
    const choose = () => {
      for (const panel of choice.querySelectorAll(":scope > .panel")) panel.hidden = panel.id !== select.value;
      drawAll();
    };
    select.addEventListener("change", choose);
    choose();
  }
  for (const fold of document.querySelectorAll("details")) fold.addEventListener("toggle", () => drawAll());

  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 120);
  });
  // Paper has one width, and nothing on it can be opened.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const fold of opened) fold.open = true;
    const shown = canvases.filter((canvas) => canvas.offsetParent !== null);
    arrange(true);
    for (const canvas of shown) draw(canvas, onPaper(canvas));
  });
  addEventListener("afterprint", () => {
    for (const fold of opened) fold.open = false;
    drawAll();
  });
  drawAll();
})();
