// The controls: what the slide is coloured by, its legend and limits, and the layers.

import { ask, path } from "./api.js";
import { change, state } from "./state.js";

const get = (id) => document.getElementById(id);
const KINDS = [
  ["domain", "Domains"], ["confidence", "Confidence"], ["gene", "Gene"], ["map", "Gene map"], ["counts", "Depth"], ["none", "Nothing"],
];
const MOST_LISTED = 40;
const WORDS = {
  confidence: "confidence of the domain, 0 to 1", counts: "log10 of all counts of a spot",
  gene: { log: "ln(1 + counts per 10,000)", counts: "counts" },
  map: { log: "ln(1 + counts per 10,000)", counts: "molecules per cell of the map" },
};
export const isQuantity = (kind) => ["confidence", "gene", "map", "counts"].includes(kind);
export const hasGene = (kind) => ["gene", "map"].includes(kind);

export class Panel {
  constructor() {
    this.facts = null;
    this.genes = { measured: [], mapped: [] };
    this.range = null;
    get("unit").addEventListener("change", () => change({ unit: get("unit").value, low: "", high: "" }));
    get("colours").addEventListener("change", () => change({ colours: get("colours").value }));
    get("fade").addEventListener("change", () => change({ fade: get("fade").checked ? "1" : "" }));
    for (const end of ["low", "high"]) get(end).addEventListener("change", () => change({ [end]: get(end).value }));
    get("reset-limits").addEventListener("click", () => change({ low: "", high: "" }));
    for (const name of ["opacity", "he"]) get(name).addEventListener("input", () => change({ [name]: get(name).value }));
    for (const name of ["tissue", "nuclei"]) {
      get(name).addEventListener("change", () => change({ [name]: get(name).checked ? "1" : "" }));
    }
    this.searchGenes();
  }

  /** Show what a section offers. */
  async open(facts) {
    this.facts = facts;
    this.genes = await ask(path("api", "sections", facts.name, facts.version, "genes"));
    const kinds = KINDS.filter(([kind]) => kind === "none" || facts.layers.includes(kind));
    get("kinds").replaceChildren(...kinds.map(([kind, title]) => {
      const button = make("button", { type: "button", role: "radio", textContent: title });
      button.dataset.kind = kind;
      button.addEventListener("click", () => this.choose(kind));
      return button;
    }));
    get("kinds").onkeydown = (event) => this.moveKind(event);
    get("colours").replaceChildren(...facts.colour_maps.map((name) => make("option", { value: name, textContent: name })));
    get("tissue-box").hidden = !facts.layers.includes("tissue");
    get("nuclei-box").hidden = !facts.layers.includes("nuclei");
    get("spot").hidden = !facts.spots;
  }

  /** Kind that is shown: the one asked for where the section has it. */
  get kind() {
    const offered = [...this.facts.layers, "none"];
    return offered.includes(state.by) ? state.by : offered.includes("domain") ? "domain" : "none";
  }

  /** Genes of the kind that is shown. */
  get known() { return this.kind === "map" ? this.genes.mapped : this.genes.measured; }

  /** Gene that is shown. */
  get gene() { return this.known.includes(state.gene) ? state.gene : (this.known[0] ?? ""); }

  choose(kind) {
    change({ by: kind, low: "", high: "" });
    if (hasGene(kind)) get("gene").focus();
  }

  moveKind(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const buttons = [...get("kinds").children];
    const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
    change({ by: next.dataset.kind, low: "", high: "" });
    next.focus();
  }

  /** Bring the controls to the state; `range` describes the quantity that is shown. */
  draw(range) {
    const { kind } = this;
    this.range = range;
    for (const button of get("kinds").children) {
      const on = button.dataset.kind === kind;
      button.setAttribute("aria-checked", String(on));
      button.tabIndex = on ? 0 : -1;
    }
    get("gene-box").hidden = !hasGene(kind);
    if (document.activeElement !== get("gene")) get("gene").value = this.gene;
    get("unit").value = state.unit;
    get("contrast").hidden = !isQuantity(kind);
    get("colours").value = state.colours;
    get("fade").checked = state.fade === "1";
    for (const [name, layer] of [["opacity", kind !== "none"], ["he", true]]) {
      get(name).value = state[name];
      get(name).disabled = !layer;
      document.querySelector(`output[for=${name}]`).value = `${state[name]} %`;
    }
    for (const name of ["tissue", "nuclei"]) get(name).checked = state[name] === "1";
    this.drawLegend(kind);
    if (range) this.drawRange(range);
  }

  drawLegend(kind) {
    const legend = get("legend");
    if (kind === "domain") {
      const hidden = new Set(state.hidden.split(",").filter(Boolean));
      legend.replaceChildren(...this.facts.domains.map(({ domain, spots, colour }) => {
        const name = domain ? `Domain ${domain}` : "No domain";
        const button = make("button", { type: "button", className: "entry", title: "Show or hide" });
        button.setAttribute("aria-pressed", String(!hidden.has(String(domain))));
        const mark = make("i", {});
        mark.style.background = colour;
        button.append(mark, make("span", { textContent: name }), make("small", { textContent: `${number(spots)} spots` }));
        button.addEventListener("click", () => {
          hidden.has(String(domain)) ? hidden.delete(String(domain)) : hidden.add(String(domain));
          change({ hidden: [...hidden].sort().join(",") });
        });
        return button;
      }));
    } else if (isQuantity(kind)) {
      const words = WORDS[kind];
      legend.replaceChildren(make("p", { className: "hint", textContent: words[state.unit] ?? words }));
    } else legend.replaceChildren();
  }

  drawRange(range) {
    const [low, high] = limits(range);
    get("low").value = short(low);
    get("high").value = short(high);
    const canvas = get("histogram"), pen = canvas.getContext("2d"), { width, height } = canvas;
    const strip = 22, most = Math.max(1, ...range.bars), span = range.greatest - range.least || 1;
    const style = getComputedStyle(document.documentElement);
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = style.getPropertyValue("--bar");
    range.bars.forEach((bar, k) => {
      const tall = Math.sqrt(bar / most) * (height - strip - 6);  // square roots: bars beside the many zeros stay seen
      pen.fillRect((k * width) / range.bars.length + 1, height - strip - 4 - tall, width / range.bars.length - 2, tall);
    });
    const image = new Image();
    image.onload = () => {
      const from = ((low - range.least) / span) * width, to = ((high - range.least) / span) * width;
      pen.drawImage(image, 0, 0, 1, 1, 0, height - strip, width, strip);
      pen.drawImage(image, 255, 0, 1, 1, to, height - strip, width - to, strip);
      pen.drawImage(image, from, height - strip, Math.max(1, to - from), strip);
    };
    image.src = `/api/colours/${encodeURIComponent(state.colours)}.png`;
  }

  searchGenes() {
    const input = get("gene"), list = get("gene-list");
    let at = -1;
    const close = () => {
      list.hidden = true;
      at = -1;
      input.setAttribute("aria-expanded", "false");
      input.removeAttribute("aria-activedescendant");
    };
    const take = (gene) => {
      close();
      input.value = gene;
      change({ gene, low: "", high: "" });
    };
    const mark = (place) => {
      at = place;
      [...list.children].forEach((item, k) => item.setAttribute("aria-selected", String(k === at)));
      if (at < 0) return;
      list.children[at].scrollIntoView({ block: "nearest" });
      input.setAttribute("aria-activedescendant", list.children[at].id);
    };
    const open = () => {
      const found = matching(this.known, input.value);
      list.replaceChildren(...found.map((gene, k) => {
        const item = make("li", { id: `gene-${k}`, role: "option", textContent: gene });
        item.addEventListener("pointerdown", (event) => { event.preventDefault(); take(gene); });
        return item;
      }));
      if (!found.length) list.append(make("li", { className: "hint", textContent: "No gene of this name" }));
      list.hidden = false;
      input.setAttribute("aria-expanded", "true");
      mark(found.length && input.value ? 0 : -1);
    };
    input.addEventListener("input", open);
    input.addEventListener("focus", () => { input.select(); open(); });
    input.addEventListener("blur", () => { close(); input.value = this.gene; });
    input.addEventListener("keydown", (event) => {
      const options = list.querySelectorAll("[role=option]");
      if (event.key === "ArrowDown") mark(Math.min(at + 1, options.length - 1));
      else if (event.key === "ArrowUp") mark(Math.max(at - 1, 0));
      else if (event.key === "Enter" && options[at]) take(options[at].textContent);
      else if (event.key === "Escape") { close(); input.blur(); }
      else return;
      event.preventDefault();
    });
  }
}

/** Limits of the colours: those of the state, or those that the server proposes. */
export function limits(range) {
  return [["low", range.low], ["high", range.high]].map(([end, proposed]) => (state[end] === "" ? proposed : Number(state[end])));
}

/** Genes whose name begins with the text, then those that contain it. */
function matching(genes, text) {
  const wanted = text.trim().toLowerCase();
  const begin = [], contain = [];
  for (const gene of genes) {
    const place = gene.toLowerCase().indexOf(wanted);
    if (place === 0) begin.push(gene);
    else if (place > 0) contain.push(gene);
  }
  return [...begin, ...contain].slice(0, MOST_LISTED);
}

export function make(tag, properties, ...children) {
  const { role, ...others } = properties;
  const element = Object.assign(document.createElement(tag), others);
  if (role) element.setAttribute("role", role);
  element.append(...children);
  return element;
}

export const number = (value) => value.toLocaleString("en", { maximumFractionDigits: 3 });
const short = (value) => Number(value.toPrecision(4));
