// Screens by the part of the URL behind #: `#/machines/order?version=2`.

/** The parts of a hash and its query. A part that is not valid percent-encoding stays as it is. */
export function read(hash) {
  const [place, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const parts = place.split("/").filter((part) => part !== "").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { parts, query: Object.fromEntries(new URLSearchParams(query)) };
}

/** The other way. Empty values of the query are left out. */
export function link(parts, query = {}) {
  const said = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") said.set(key, String(value));
  }
  const text = said.toString();
  return `#/${parts.map((part) => encodeURIComponent(part)).join("/")}${text && `?${text}`}`;
}

/** The first route that fits: `["machines", ":name"]` fits two parts and gives `name`. */
export function match(routes, parts) {
  for (const route of routes) {
    if (route.path.length !== parts.length) continue;
    const given = {};
    const fits = route.path.every((wanted, index) => {
      if (!wanted.startsWith(":")) return wanted === parts[index];
      given[wanted.slice(1)] = parts[index];
      return true;
    });
    if (fits) return { route, given };
  }
  return null;
}

export const go = (parts, query) => {
  location.hash = link(parts, query);
};

/** Changes the URL and neither the screen nor the history: for filters. */
export const note = (parts, query) => history.replaceState(null, "", link(parts, query));
