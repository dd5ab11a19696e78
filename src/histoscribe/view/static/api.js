// What the page asks of its server, and what it says where something cannot be had.

const box = document.querySelector("#message");
box.querySelector("button").addEventListener("click", () => { box.hidden = true; });

/** Say something that the reader must know, until it is closed. */
export function complain(text) {
  box.querySelector("p").textContent = text;
  box.hidden = false;
}

/** Ask for JSON; the server's own words become the error. */
export async function ask(address, parameters = {}, signal = undefined) {
  let answer;
  try {
    answer = await fetch(withQuery(address, parameters), { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The viewer does not answer. Was `histoscribe view` stopped? Start it again and open its address.");
  }
  if (answer.ok) return answer.json();
  const text = await answer.text();
  let words = text;
  try { words = JSON.parse(text).problem; } catch { /* plain text */ }
  throw new Error(words);
}

/** An address with parameters; those that are empty are left out, lists stand once for each value. */
export function withQuery(address, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== "" && one !== undefined && one !== null) query.append(name, one);
    }
  }
  const text = query.toString();
  return text ? `${address}?${text}` : address;
}

export const path = (...parts) => `/${parts.map(encodeURIComponent).join("/")}`;
