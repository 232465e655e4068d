// The shell: navigation, sign-in, theme, and which screen is shown.

import { Problem, get, on, token } from "./api.js";
import { badge, h, name, say, setText, show, visible } from "./dom.js";
import { SCREENS, listen, openHelp } from "./keys.js";
import { problem, wantsSignIn } from "./problem.js";
import { go, link, match, read } from "./router.js";
import { Scope } from "./scope.js";
import * as theme from "./theme.js";
import cluster from "./screens/cluster.js";
import editor from "./screens/editor.js";
import instance from "./screens/instance.js";
import instances from "./screens/instances.js";
import live from "./screens/live.js";
import locks from "./screens/locks.js";
import log from "./screens/log.js";
import machine from "./screens/machine.js";
import machines from "./screens/machines.js";
import timers from "./screens/timers.js";
import versions from "./screens/versions.js";

const ROUTES = [
  { path: ["cluster"], screen: cluster, title: () => "Cluster" },
  { path: ["machines"], screen: machines, title: () => "Machines" },
  { path: ["new-machine"], screen: editor, title: () => "New machine" },
  { path: ["machines", ":machine"], screen: machine, title: (given) => given.machine },
  { path: ["machines", ":machine", "edit"], screen: editor, title: (given) => `Edit ${given.machine}` },
  { path: ["machines", ":machine", "versions"], screen: versions, title: (given) => `Versions of ${given.machine}` },
  { path: ["instances"], screen: instances, title: () => "Instances" },
  { path: ["instances", ":id"], screen: instance, title: (given) => given.id },
  { path: ["live"], screen: live, title: () => "Live" },
  { path: ["log"], screen: log, title: () => "Log" },
  { path: ["log", ":offset"], screen: log, title: (given) => `Log, ${given.offset}` },
  { path: ["timers"], screen: timers, title: () => "Timers" },
  { path: ["locks"], screen: locks, title: () => "Locks" },
];

// A screen that is left gives up its requests. What still waits for one of them ends with this reason, which is
// no fault.
window.addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name === "AbortError") event.preventDefault();
});

const main = document.getElementById("main");
const banner = document.getElementById("banner");
const node = h("span.node", { "aria-live": "polite" });
const who = h("span.who");
const signOut = h("button.plain", { type: "button", hidden: true, onclick: leave }, "Sign out");
let scope = new Scope();

function drawShell() {
  show(document.getElementById("nav"), ...SCREENS.map(({ path, title }) => h("a", { href: link([path]), "data-screen": path }, title)));
  show(document.getElementById("tools"), node, who, signOut, theme.button(),
    h("button.plain.round", { type: "button", title: "Keys", "aria-label": "Keys", onclick: openHelp }, "?"));
}

/** Shows the screen of the URL. */
function visit() {
  scope.end();
  scope = new Scope();
  document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
  const { parts, query } = read(location.hash);
  if (parts.length === 0) return location.replace(link(["cluster"]));
  const found = match(ROUTES, parts);
  const section = parts[0] === "new-machine" ? "machines" : parts[0];
  for (const item of document.querySelectorAll("#nav a")) {
    if (item.dataset.screen === section) item.setAttribute("aria-current", "page");
    else item.removeAttribute("aria-current");
  }
  if (!found) {
    show(main, h("h1", null, "There is no such screen"), h("p", null, h("a", { href: link(["cluster"]) }, "To the cluster")));
    return undefined;
  }
  const title = found.route.title(found.given);
  document.title = `${visible(title)} · rstmdb`;
  show(main);
  main.scrollTop = 0;
  window.scrollTo(0, 0);
  const own = scope;
  const failed = (error) => {
    if (own.ended || wantsSignIn(error)) return;
    show(main, problem(error, visit));
  };
  try {
    Promise.resolve(found.route.screen(main, { ...found.given, query, scope: own })).catch(failed);
  } catch (error) {
    failed(error);
  }
  say(title);
  return undefined;
}

/** Asks for a token. Nothing else is there until the node takes it. */
function signIn(why) {
  if (document.querySelector("form.sign-in")) return;
  scope.end();
  scope = new Scope();
  const hadToken = token.get() !== null;
  token.clear();
  signOut.hidden = true;
  show(who);
  const field = h("input", { type: "password", id: "token", autocomplete: "off", required: true, spellcheck: "false" });
  const told = h("p.field-problem", { role: "alert" }, hadToken ? `The node has refused the token: ${why || "it is not valid"}` : null);
  const submit = async (event) => {
    event.preventDefault();
    const given = field.value.trim();
    if (given === "") return;
    token.set(given);
    try {
      await get(["info"]);
      enter();
    } catch (error) {
      if (error instanceof Problem && error.status === 403) return enter();
      token.clear();
      field.value = "";
      field.focus();
      setText(told, error.status === 401 ? `The node has refused the token: ${error.message}` : error.message);
    }
    return undefined;
  };
  show(main, h("form.sign-in", { onsubmit: submit },
    h("h1", null, "Sign in"),
    h("p", null, "This node wants a token. The console keeps it for this tab, and sends it to this node only."),
    h("label", { for: "token" }, "Token"), field, told,
    h("button.primary", { type: "submit" }, "Sign in")));
  document.title = "Sign in · rstmdb";
  field.focus();
}

function enter() {
  visit();
  signOut.hidden = token.get() === null;
  nameOfClient();
}

function leave() {
  token.clear();
  show(main);
  signIn("");
}

/** Nodes without roles have no names of clients. */
async function nameOfClient() {
  try {
    const said = await get(["whoami"]);
    const shown = said.name ?? said.actor;
    if (shown) show(who, name(shown, "span"));
  } catch {
    show(who);
  }
}

async function status() {
  const info = await get(["info"], {}, undefined);
  const kind = info.role === "leader" ? "good" : info.leader ? "" : "warn";
  show(node, `node ${info.node_id} `, badge(info.role, kind));
}

function watchConnection() {
  const poller = new Scope();
  const again = poller.poll(3000, async () => {
    if (!document.querySelector("form.sign-in")) await status();
  }, () => {});
  on("connection", (up) => {
    banner.hidden = up;
    document.body.classList.toggle("is-away", !up);
    if (up) {
      say("The node answers again");
      setText(banner, "");
    } else {
      setText(banner, `The node at ${location.host} does not answer. The console tries again; other nodes of the cluster have the same console at their own addresses.`);
      show(node, badge("away", "bad"));
    }
  });
  window.addEventListener("online", again);
}

theme.begin();
drawShell();
on("signIn", signIn);
window.addEventListener("hashchange", visit);
listen(go);
watchConnection();
enter();
