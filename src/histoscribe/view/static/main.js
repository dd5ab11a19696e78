// The page: brings state, slide and controls together.

import { ask, complain, path } from "./api.js";
import { Panel, hasGene, isQuantity, limits, make, number } from "./panel.js";
import { Slide } from "./slide.js";
import { change, onChange, state } from "./state.js";

const get = (id) => document.getElementById(id);
const HOVER_MS = 120, PAN_PX = 120;
const panel = new Panel();
const slide = new Slide(get("slide"));
let facts = null, asked = "", latest = "";    // keys of the range that is known, and of the one that is wanted

/** Run what may fail, and say so. */
const told = (work) => async (...given) => {
  try { await work(...given); } catch (error) { if (error.name !== "AbortError") complain(error.message); }
};

const openSection = told(async (name) => {
  facts = await ask(path("api", "sections", name));
  asked = "";
  get("title").textContent = facts.name;
  document.title = `${facts.name} · histoscribe`;
  get("facts").textContent = [
    facts.spots ? `${number(facts.spots)} ${facts.bins ? "bins" : "spots"}` : "a picture without spots",
    facts.genes ? `${number(facts.genes)} genes` : "", `${number(facts.width)} × ${number(facts.height)} px`,
    facts.mpp ? `${number(facts.mpp)} µm/px` : "",
  ].filter(Boolean).join(" · ");
  for (const button of get("sections").children) button.setAttribute("aria-current", String(button.dataset.name === name));
  showSpot({});
  const place = { x: Number(state.x), y: Number(state.y), zoom: Number(state.zoom) };
  await panel.open(facts);
  await slide.open(facts);
  if (state.zoom) slide.view = place;
  else slide.viewer.viewport.goHome(true);
  await refresh();
  document.body.dataset.ready = name;
});

/** Bring everything to the state. */
const refresh = told(async () => {
  const { kind, gene } = panel;
  const what = hasGene(kind) ? { gene, unit: state.unit } : {};
  const key = JSON.stringify([facts.name, kind, what]);
  latest = key;
  panel.draw(key === asked ? panel.range : null);
  if (isQuantity(kind) && key !== asked) {
    const range = await ask(path("api", "sections", facts.name, facts.version, "range", kind), what);
    if (key !== latest) return;                           // something else was asked for meanwhile
    asked = key;
    panel.range = range;
  }
  panel.draw(isQuantity(kind) ? panel.range : null);
  slide.setOpacity("slide", state.he / 100);
  slide.setOpacity("main", state.opacity / 100);
  let parameters = {};
  if (kind === "domain") parameters = { hidden: state.hidden };
  else if (isQuantity(kind)) {
    const [low, high] = limits(panel.range);
    parameters = { ...what, low, high, colours: state.colours, fade: state.fade };
  }
  await Promise.all([
    slide.show("main", parameters, kind === "none" ? "" : kind),
    ...["tissue", "nuclei"].map((name) => {
      const shown = state[name] === "1" && facts.layers.includes(name);
      return slide.show(name, {}, shown ? name : "");
    }),
  ]);
});

onChange((changed) => {
  if (changed.has("section")) openSection(state.section);
  else if (["x", "y", "zoom"].every((name) => !changed.has(name)) || changed.size > 3) refresh();
});

// ---- place, scale bar -------------------------------------------------------------------------------------------

slide.viewer.addHandler("animation-finish", () => {
  const view = slide.view;
  if (view) change({ x: view.x.toFixed(1), y: view.y.toFixed(1), zoom: view.zoom.toPrecision(5) });
});
for (const event of ["animation", "open", "update-viewport", "resize"]) slide.viewer.addHandler(event, drawScaleBar);

function drawScaleBar() {
  const bar = get("scale-bar"), view = slide.view;
  bar.hidden = !view || !facts?.mpp;
  if (bar.hidden) return;
  const wanted = (140 / view.zoom) * facts.mpp;                          // um that 140 screen pixels span
  const power = 10 ** Math.floor(Math.log10(wanted));
  const length = power * [5, 2, 1].find((step) => step * power <= wanted);
  bar.querySelector("span").style.width = `${(length / facts.mpp) * view.zoom}px`;
  bar.querySelector("output").value = length >= 1000 ? `${number(length / 1000)} mm` : `${number(length)} µm`;
}

// ---- hover and click --------------------------------------------------------------------------------------------

let hovering = null, timer = 0;

const spotAt = async (point, signal) => {
  const place = slide.toSlide(point);
  if (!place || !facts?.spots) return {};
  const genes = panel.kind === "gene" ? [panel.gene] : [];
  return ask(path("api", "sections", facts.name, facts.version, "spot"), { x: place.x, y: place.y, gene: genes }, signal);
};

get("slide").addEventListener("pointermove", (event) => {
  clearTimeout(timer);
  hovering?.abort();
  get("tip").hidden = true;
  if (event.buttons || event.pointerType === "touch") return;
  const box = get("slide").getBoundingClientRect(), point = { x: event.clientX - box.left, y: event.clientY - box.top };
  timer = setTimeout(told(async () => {
    hovering = new AbortController();
    const found = await spotAt(point, hovering.signal);
    if (found.barcode) showTip(found, point, box);
  }), HOVER_MS);
});
get("slide").addEventListener("pointerleave", () => { clearTimeout(timer); get("tip").hidden = true; });

function showTip(found, point, box) {
  const tip = get("tip");
  const lines = [found.domain ? `Domain ${found.domain}${confidence(found)}` : "", ...Object.entries(found.asked ?? {}).map(([gene, n]) => `${gene} ${number(n)}`)];
  tip.replaceChildren(make("b", { textContent: found.barcode }), ...lines.filter(Boolean).map((text) => make("span", { textContent: text })));
  tip.hidden = false;
  tip.style.left = `${Math.min(point.x + 14, box.width - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(point.y + 14, box.height - tip.offsetHeight - 8)}px`;
}

slide.viewer.addHandler("canvas-click", told(async (event) => {
  if (event.quick) showSpot(await spotAt(event.position));
}));

const confidence = (found) => (found.confidence === undefined || found.confidence === null ? "" : `, confidence ${number(found.confidence)}`);

function showSpot(found) {
  const box = get("spot-facts");
  slide.viewer.clearOverlays();
  if (!found.barcode) {
    box.replaceChildren(make("p", { className: "hint", textContent: "Click a spot to read it." }));
    return;
  }
  const list = make("dl", {});
  const add = (name, ...values) => list.append(make("dt", { textContent: name }), make("dd", {}, ...values));
  add("Barcode", make("code", { textContent: found.barcode }));
  if (found.domain !== undefined) {
    const mark = make("i", {});
    mark.style.background = found.colour;
    add("Domain", mark, found.domain ? `${found.domain}${confidence(found)}` : "none");
  }
  if (found.total !== undefined) add("Counts", `${number(found.total)} in ${number(found.genes)} genes`);
  for (const [gene, n] of Object.entries(found.asked ?? {})) add(gene, `${number(n)} counts`);
  add("Place", `${number(found.x_px)}, ${number(found.y_px)} px`);
  box.replaceChildren(list);
  const most = Object.entries(found.most ?? {});
  if (most.length) {
    const greatest = most[0][1];
    const table = make("table", {}, make("caption", { textContent: "Genes with the most counts" }));
    for (const [gene, n] of most) {
      const name = make("button", { type: "button", className: "link", textContent: gene, title: `Colour by ${gene}` });
      name.addEventListener("click", () => change({ by: "gene", gene, low: "", high: "" }));
      const bar = make("i", {});
      bar.style.width = `${(100 * n) / greatest}%`;
      table.append(make("tr", {}, make("th", {}, name), make("td", {}, bar), make("td", { textContent: number(n) })));
    }
    box.append(table);
  }
  ring(found);
}

function ring({ x_px: x, y_px: y, radius_px: r }) {
  const item = slide.shown.get("slide").item;
  const element = make("div", { className: "ring" });
  slide.viewer.addOverlay({ element, location: item.imageToViewportRectangle(x - r, y - r, 2 * r, 2 * r) });
}

// ---- keys, buttons, themes --------------------------------------------------------------------------------------

const ACTIONS = {
  "+": () => slide.zoomBy(1.4), "=": () => slide.zoomBy(1.4), "-": () => slide.zoomBy(1 / 1.4), "0": () => slide.home(),
  ArrowLeft: () => slide.panBy(-PAN_PX, 0), ArrowRight: () => slide.panBy(PAN_PX, 0),
  ArrowUp: () => slide.panBy(0, -PAN_PX), ArrowDown: () => slide.panBy(0, PAN_PX),
  c: togglePanel, h: () => change({ opacity: state.opacity === "0" ? "75" : "0" }),
  "/": () => {
    if (!hasGene(panel.kind)) change({ by: "gene", low: "", high: "" });
    get("gene").focus();
  },
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey;
  const action = ACTIONS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (typing || !action) return;
  event.preventDefault();
  action();
});
get("zoom-in").addEventListener("click", ACTIONS["+"]);
get("zoom-out").addEventListener("click", ACTIONS["-"]);
get("home").addEventListener("click", ACTIONS["0"]);
get("toggle-panel").addEventListener("click", togglePanel);

function togglePanel() {
  const closed = document.body.classList.toggle("closed");
  get("toggle-panel").setAttribute("aria-expanded", String(!closed));
}

get("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  if (panel.range) panel.draw(panel.range);
});

// ---- sections ---------------------------------------------------------------------------------------------------

told(async () => {
  const { sections } = await ask("/api/sections");
  get("sections").hidden = sections.length < 2;
  get("sections").replaceChildren(...sections.map((name) => {
    const button = make("button", { type: "button", title: name }, make("img", { src: path("api", "sections", name, "thumbnail.jpg"), alt: "", loading: "lazy" }), make("span", { textContent: name }));
    button.dataset.name = name;
    button.addEventListener("click", () => change({ section: name, x: "", y: "", zoom: "", low: "", high: "", hidden: "" }));
    return button;
  }));
  if (sections.includes(state.section)) await openSection(state.section);
  else change({ section: sections[0] });
})();
