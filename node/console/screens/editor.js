// A definition that is checked while it is typed.

import { Problem, call, get, path } from "../api.js";
import { badge, h, loading, name, say, show } from "../dom.js";
import { nearest, places, position } from "../json.js";
import { problem, wantsSignIn } from "../problem.js";
import { go } from "../router.js";
import { later } from "../scope.js";

const CHECK_MS = 350;
const FIRST = `{
  "format": 2,
  "initial": "open",
  "states": ["open", { "name": "closed", "final": true }],
  "transitions": [
    { "from": "open", "event": "CLOSE", "to": "closed" }
  ]
}
`;

/** `{place, text}` of each fault of a refused definition. */
function faultsOf(error) {
  if (Array.isArray(error.details.faults)) return error.details.faults;
  const message = error.message.replace(/^params\.definition:?\s*/, "").replace(/^definition:?\s*/, "");
  const found = /^((?:states|transitions|initial|context|events|merge|meta|format)[\w.[\]]*):\s*(.*)$/s.exec(message);
  return [found ? { place: found[1], text: found[2] } : { place: "", text: message }];
}

export default async function editor(main, { machine: id, query, scope }) {
  main.append(loading());
  let [text, next] = [FIRST, 1];
  if (id) {
    const parts = query.version ? ["machines", id, "versions", query.version] : ["machines", id];
    const [got, newest] = await Promise.all([get(parts, {}, scope.signal), get(["machines", id], {}, scope.signal)]);
    [text, next] = [`${JSON.stringify(got.definition, null, 2)}\n`, newest.version + 1];
  }
  const machine = h("input", { id: "machine", value: id ?? "", required: true, autocomplete: "off", spellcheck: "false", readonly: id !== undefined });
  const version = h("input", { id: "version", type: "number", min: 1, value: next, required: true });
  const area = h("textarea.code", { id: "definition", spellcheck: "false", autocomplete: "off", "aria-describedby": "faults", value: text });
  const told = h("div.checks", { id: "faults", role: "status", "aria-live": "polite" });
  const save = h("button.primary", { type: "submit", disabled: true }, "Put this version");
  const form = h("form.editor", null,
    h("div.fields", null,
      h("div", null, h("label", { for: "machine" }, "Machine"), machine),
      h("div", null, h("label", { for: "version" }, "Version"), version)),
    h("label", { for: "definition" }, "Definition"), area, told, h("div.actions", null, save));
  show(main, h("header.head", null, h("h1", null, id ? ["Edit ", name(id)] : "New machine"),
    h("p.sub", null, "The node checks the definition as you type. A version that is put never changes.")), h("div.card", null, form));

  const jump = (begin, end) => {
    area.focus();
    area.setSelectionRange(begin, end);
    area.scrollTop = Math.max(0, (position(area.value, begin).line - 4) * parseFloat(getComputedStyle(area).lineHeight));
  };
  const item = (kind, label, place, why, at) => {
    const { line, column } = position(area.value, at[0]);
    return h("li", null, badge(label, kind), " ",
      h("button.link", { type: "button", onclick: () => jump(...at) }, `line ${line}, column ${column}`), " ",
      place && h("code", null, place), " ", why);
  };
  const list = (kind, label, faults, found) => h("ul.faults", null, faults.map((fault) => item(kind, label, fault.place, fault.text, nearest(found, fault.place.replace(/^params\.definition\.?/, "")))));
  const target = () => path(["machines", machine.value || "draft", "versions", version.value || "1"]);
  let asked = 0;
  const check = async () => {
    asked += 1;
    const own = asked;
    save.disabled = true;
    let found;
    try {
      found = places(area.value);
    } catch (error) {
      const at = Math.min(error.at ?? 0, Math.max(0, area.value.length - 1));
      return show(told, h("ul.faults", null, item("bad", "fault", "", error.message, [at, at + 1])));
    }
    const body = `{"definition":${area.value},"dry_run":true}`;
    try {
      const answer = await call("PUT", target(), { body, signal: scope.signal });
      if (own !== asked) return undefined;
      save.disabled = machine.value === "";
      const warnings = answer.warnings ?? [];
      return show(told, h("p", null, badge("valid", "good"), " ", answer.created ? "The node would take it." : "This version is there already, with the same definition."),
        list("warn", "warning", warnings, found));
    } catch (error) {
      if (own !== asked || scope.ended || wantsSignIn(error)) return undefined;
      if (error instanceof Problem && error.code === "BAD_REQUEST") return show(told, list("bad", "fault", faultsOf(error), found));
      return show(told, problem(error));
    }
  };
  const soon = later(CHECK_MS, check);
  for (const field of [area, machine, version]) field.addEventListener("input", () => (asked += 1, save.disabled = true, soon()));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    save.disabled = true;
    try {
      await call("PUT", target(), { body: `{"definition":${area.value}}`, signal: scope.signal });
      say("Put");
      go(["machines", machine.value], { version: version.value });
    } catch (error) {
      if (!wantsSignIn(error) && !scope.ended) show(told, problem(error));
    }
  });
  await check();
}

