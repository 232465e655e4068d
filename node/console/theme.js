// Light and dark: what the system says, until the user chooses.

import { h, setText } from "./dom.js";

const KEY = "rstmdb.theme";
const CHOICES = ["system", "light", "dark"];
const SIGNS = { system: "◐", light: "☀", dark: "☾" };

function stored() {
  try {
    const said = localStorage.getItem(KEY);
    return CHOICES.includes(said) ? said : "system";
  } catch {
    return "system";
  }
}

function set(choice) {
  if (choice === "system") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", choice);
}

export const begin = () => set(stored());

/** Goes through system, light and dark. */
export function button() {
  let choice = stored();
  const shown = h("button.plain.round", { type: "button", id: "theme" });
  const tell = () => {
    setText(shown, SIGNS[choice]);
    shown.setAttribute("aria-label", `Colours: ${choice}`);
    shown.setAttribute("title", `Colours: ${choice}`);
  };
  shown.addEventListener("click", () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // A browser that keeps nothing shows the choice until the page is left.
    }
    set(choice);
    tell();
  });
  tell();
  return shown;
}
