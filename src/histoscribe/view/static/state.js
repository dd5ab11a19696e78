// The state of the view, kept in the address: a link shows what its sender saw.

const DEFAULTS = {
  section: "", x: "", y: "", zoom: "",        // place, in level-0 pixels; zoom in screen pixels per level-0 pixel
  by: "", gene: "", unit: "log", low: "", high: "", colours: "viridis", fade: "", hidden: "",
  opacity: "75", he: "100", tissue: "", nuclei: "",
};

export const state = { ...DEFAULTS, ...read() };
const listeners = [];

function read() {
  const found = {};
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (name in DEFAULTS) found[name] = value;
  }
  return found;
}

/** Be told of every change: called with the set of names that changed. */
export function onChange(listener) { listeners.push(listener); }

/** Change the state, the address, and whatever listens. */
export function change(values) {
  const changed = new Set();
  for (const [name, value] of Object.entries(values)) {
    const text = String(value);
    if (state[name] !== text) { state[name] = text; changed.add(name); }
  }
  if (!changed.size) return;
  const kept = Object.entries(state).filter(([name, value]) => value !== DEFAULTS[name]);
  history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
  for (const listener of listeners) listener(changed);
}

window.addEventListener("hashchange", () => change({ ...DEFAULTS, ...read() }));
