// DOM helpers. Elements are created by code, so text from users is never parsed as HTML.

/** el("a", { href, class, onclick, "aria-label" }, ...children); null and false children are left out. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...present(children));
  return node;
}

/** Replaces the children of a node. */
export function fill(node, ...children) {
  node.replaceChildren(...present(children));
  return node;
}

const present = (children) =>
  children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

/** A button that ignores clicks while its previous action is running; toast.js shows the action's errors. */
export function button(text, onClick, { kind, key, label, disabled } = {}) {
  const node = el("button", { type: "button", class: kind, "data-key": key, "aria-label": label, disabled }, text);
  let isBusy = false;
  node.addEventListener("click", async () => {
    if (isBusy) return;
    isBusy = true;
    node.setAttribute("aria-busy", "true");
    try {
      await onClick();
    } finally {
      isBusy = false;
      node.removeAttribute("aria-busy");
    }
  });
  return node;
}

/** A checkbox with its label; `props` are those of the input. */
export const checkbox = (label, props) =>
  el("label", { class: "checkbox" }, el("input", { ...props, type: "checkbox" }), label);

/** Image, or the first letter of the name if the address is missing or fails to load. */
export function picture(address, name, kind = "face") {
  const letter = el("span", { class: `${kind} letter`, "aria-hidden": "true" }, [...(name || "?")][0]);
  if (!/^(https?:\/\/|\/)/.test(address || "")) return letter;
  const image = el("img", { class: kind, src: address, alt: "", loading: "lazy" });
  image.addEventListener("error", () => image.replaceWith(letter));
  return image;
}
