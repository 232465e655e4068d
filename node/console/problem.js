// What a refused request looks like.

import { h, name } from "./dom.js";
import { Problem } from "./api.js";
import { tree } from "./tree.js";

/** Whether the session, and not this screen, has to do something: the sign-in is shown already. */
export const wantsSignIn = (error) => error instanceof Problem && error.status === 401;

function guards(tried) {
  return h("ul.tried", null, tried.map((guard) => h("li", null,
    h("code", null, guard.text), " ", h("span.badge" + (guard.holds ? ".good" : ".bad"), null, guard.holds ? "holds" : "does not hold"),
    guard.error && h("span.note", null, ` ${guard.error}`),
    guard.values && Object.keys(guard.values).length > 0 && h("dl.values", null,
      Object.entries(guard.values).map(([path, value]) => [h("dt", null, name(path)), h("dd", null, h("code", null, JSON.stringify(value)))])))));
}

export { guards };

/** The problem as a box: what, why, and what the client can do. */
export function problem(error, again) {
  if (!(error instanceof Problem)) {
    return h("div.problem", { role: "alert" }, h("p.problem-title", null, "The console has failed"), h("p", null, String(error?.message ?? error)));
  }
  const { tried, needs } = error.details;
  const title = error.code === "FORBIDDEN" ? "Your role does not allow this" : error.status === 0 ? "The node does not answer" : error.message;
  const rest = Object.fromEntries(Object.entries(error.details).filter(([key]) => !["tried", "guards", "needs"].includes(key)));
  return h("div.problem", { role: "alert" },
    h("p.problem-title", null, h("span.code", null, error.code || `HTTP ${error.status}`), " ", title),
    error.code === "FORBIDDEN" && h("p", null, error.message),
    needs !== undefined && h("p", null, "It needs: ", h("code", null, typeof needs === "string" ? needs : JSON.stringify(needs))),
    Array.isArray(tried) && guards(tried),
    Object.keys(rest).length > 0 && h("details", null, h("summary", null, "Details"), tree(rest)),
    again && h("button", { type: "button", onclick: again }, "Try again"));
}
