// Applying an event: first what it would do, then, if that is wanted, the event itself.

import { Problem, call, path } from "../api.js";
import { badge, h, name, say, show } from "../dom.js";
import { number } from "../format.js";
import { parse, places, position } from "../json.js";
import { problem, wantsSignIn } from "../problem.js";
import { changed, tree } from "../tree.js";

/** The body as text: the payload goes as it was typed, so no number in it is rounded. */
function bodyOf(event, payload, reason, more) {
  const parts = [`"event":${JSON.stringify(event)}`];
  if (payload !== "") parts.push(`"payload":${payload}`);
  if (reason !== "") parts.push(`"reason":${JSON.stringify(reason)}`);
  parts.push(...Object.entries(more).map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`));
  return `{${parts.join(",")}}`;
}

function wrong(payload) {
  try {
    places(payload);
    const value = parse(payload);
    return value === null || (typeof value === "object" && !Array.isArray(value)) ? null : "a payload is an object or null";
  } catch (error) {
    const { line, column } = position(payload, error.at ?? 0);
    return `line ${line}, column ${column}: ${error.message}`;
  }
}

function outcome(answer, before) {
  const would = answer.would ?? {};
  const lists = [["removes", would.unset], ["emits", would.emits], ["passes", would.via], ["arms timers", would.armed], ["disarms timers", would.disarmed]];
  return h("div.outcome", null,
    h("p.way", null, badge(answer.from_state), " → ", badge(answer.to_state, "accent"),
      answer.from_state === answer.to_state && " (it stays)"),
    lists.filter(([, names]) => names?.length > 0).map(([what, names]) => h("p", null, `It ${what}: `, names.map((one, index) => [index > 0 && ", ", h("code", null, name(one))]))),
    h("h3", null, "The context after it"), tree(answer.ctx ?? {}, changed(before, answer.ctx ?? {})));
}

/** Opens the dialog. `done` is called after the event has taken effect. */
export function applyDialog({ id, events, chosen, instance, done, signal }) {
  const event = h("input", { id: "event", list: "events", required: true, value: chosen ?? "", autocomplete: "off", spellcheck: "false" });
  const payload = h("textarea.code.small", { id: "payload", spellcheck: "false", placeholder: "{}", rows: 5 });
  const reason = h("input", { id: "reason", autocomplete: "off", maxlength: 1024 });
  const fault = h("p.field-problem", { role: "alert" });
  const told = h("div", { "aria-live": "polite" });
  const preview = h("button.primary", { type: "submit" }, "Show what it would do");
  const apply = h("button.danger", { type: "button", hidden: true }, "Apply for real");
  const dialog = h("dialog.apply", { "aria-label": "Apply an event" },
    h("h2", null, "Apply an event to ", name(id)),
    h("form", { method: "dialog" },
      h("datalist", { id: "events" }, events.map((one) => h("option", { value: one }))),
      h("label", { for: "event" }, "Event"), event,
      h("label", { for: "payload" }, "Payload (JSON)"), payload, fault,
      h("label", { for: "reason" }, "Reason, for the log"), reason,
      told,
      h("div.actions", null, preview, apply, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"))));
  const target = path(["instances", id, "events"]);
  let shown;
  const changedByUser = () => {
    apply.hidden = true;
    preview.hidden = false;
    shown = undefined;
    show(told);
  };
  for (const field of [event, payload, reason]) field.addEventListener("input", changedByUser);
  dialog.querySelector("form").addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    const text = payload.value.trim();
    const why = text === "" ? null : wrong(text);
    show(fault, why);
    if (why !== null || event.value === "") return;
    preview.disabled = true;
    try {
      const answer = await call("POST", target, { body: bodyOf(event.value, text, reason.value, { dry_run: true }), signal });
      shown = { event: event.value, text, reason: reason.value };
      show(told, outcome(answer, instance.ctx));
      apply.hidden = false;
      preview.hidden = true;
      apply.focus();
    } catch (error) {
      if (wantsSignIn(error)) dialog.close();
      else show(told, problem(error));
    } finally {
      preview.disabled = false;
    }
  });
  // One key for one decision: a second click after a lost answer does nothing twice.
  const key = crypto.randomUUID?.() ?? `console-${Date.now()}-${Math.random()}`;
  apply.addEventListener("click", async () => {
    if (!shown) return;
    apply.disabled = true;
    try {
      // What was shown holds for the instance as it was: another change in between refuses the event.
      const body = bodyOf(shown.event, shown.text, shown.reason, { expected_wal_offset: instance.last_wal_offset });
      const answer = await call("POST", target, { body, headers: { "Idempotency-Key": key }, signal });
      dialog.close();
      say(`${shown.event} was applied at offset ${number(answer.wal_offset)}`);
      done();
    } catch (error) {
      if (wantsSignIn(error)) return dialog.close();
      if (error instanceof Problem && error.code === "CONFLICT") done();
      show(told, problem(error));
      apply.hidden = true;
      preview.hidden = false;
    } finally {
      apply.disabled = false;
    }
    return undefined;
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  (chosen ? payload : event).focus();
}
