// The cluster: its nodes, what it writes, its log.

import { get } from "../api.js";
import { Series, sparkline } from "../chart.js";
import { badge, h, loading, name, note, show } from "../dom.js";
import { bytes, number, plural, span } from "../format.js";
import { problem, wantsSignIn } from "../problem.js";

const POLL_MS = 2000;

function fact(label, value, ...more) {
  return h("div.fact", null, h("dt", null, label), h("dd", null, h("span.big", null, value), more));
}

function health(node) {
  if (!node.reachable) return badge("unreachable", "bad");
  if (node.diverged) return badge("diverged", "bad");
  if (node.read_only) return badge("read-only", "warn");
  if (node.lag > 1000) return badge("behind", "warn");
  return badge("healthy", "good");
}

function cell(label, ...children) {
  return h("td", { "data-label": label }, ...children);
}

function row(node, answering) {
  const trouble = node.unreachable ?? node.read_only;
  return h("tr", null,
    h("th", { scope: "row" }, `Node ${node.node_id}`, node.node_id === answering && h("span.here", { title: "This node has answered" }, " here")),
    cell("Role", node.role ? badge(node.role, node.role === "leader" ? "accent" : "") : "–", !node.voter && badge("no vote")),
    cell("Health", health(node), trouble && h("span.note", null, ` ${trouble}`)),
    cell("Term", number(node.term)),
    cell("Applied", number(node.applied)),
    cell("Lag", node.lag === undefined ? "–" : plural(node.lag, "entry", "entries")),
    cell("Up", node.uptime_secs === undefined ? "–" : span(node.uptime_secs * 1000)),
    cell("Version", node.version ?? "–"),
    cell("Address", name(node.rcp_addr, "code")));
}

/** Digests are comparable at the same offset only. */
function agreement(nodes) {
  const of = new Map();
  for (const node of nodes) {
    if (node.digest === undefined) continue;
    const key = node.digest_offset;
    of.set(key, (of.get(key) ?? new Set()).add(node.digest));
  }
  if (nodes.some((node) => node.diverged) || [...of.values()].some((digests) => digests.size > 1)) {
    return h("p.problem-title", { role: "alert" }, "The states of the nodes differ: see “diverged” in the operations manual.");
  }
  return note("Nodes at the same offset have the same state: their digests are equal.");
}

export default async function cluster(main, { scope }) {
  const title = h("h1", null, "Cluster");
  const sub = h("p.sub");
  const facts = h("dl.facts");
  const table = h("tbody");
  const below = h("div");
  const trouble = h("div");
  const body = h("div", null, trouble, facts,
    h("section.card", { "aria-labelledby": "nodes" }, h("h2", { id: "nodes" }, "Nodes"),
      h("div.scrolls", null, h("table.nodes", null,
        h("thead", null, h("tr", null, ["", "Role", "Health", "Term", "Applied", "Lag", "Up", "Version", "Address"].map((text) => h("th", { scope: "col" }, text)))),
        table)), below));
  const wait = loading("Asking the nodes …");
  main.append(h("header.head", null, title, sub), wait, body);
  body.hidden = true;
  const rates = new Series();
  const answers = new Series();
  let before;

  scope.poll(POLL_MS, async () => {
    const began = performance.now();
    // Linearizable: the answer needs the leader and a majority.
    await get(["machines"], { limit: 1 }, scope.signal);
    answers.add(performance.now() - began);
    const [status, info, stats, replication] = await Promise.all(
      [["cluster"], ["info"], ["wal", "stats"], ["replication"]].map((parts) => get(parts, {}, scope.signal)));
    const head = Math.max(info.commit_index ?? 0, ...status.nodes.map((node) => node.applied ?? 0));
    const now = { at: performance.now(), head, fsyncs: stats.io_stats.fsyncs, written: stats.io_stats.bytes_written };
    const seconds = before ? (now.at - before.at) / 1000 : 0;
    const rate = (field) => (seconds > 0 && now[field] >= before[field] ? (now[field] - before[field]) / seconds : 0);
    const [writes, syncs, disk] = [rate("head"), rate("fsyncs"), rate("written")];
    if (before) rates.add(writes);
    before = now;
    if (scope.ended) return;
    wait.remove();
    body.hidden = false;
    show(trouble);
    show(sub, name(status.cluster_name, "strong"), ` · term ${number(status.term)} · `,
      status.leader ? `node ${status.leader} leads` : badge("no leader", "bad"),
      status.automation?.automation === "paused" && [" · ", badge("automation paused", "warn")]);
    show(facts,
      fact("Entries a second", rates.last === undefined ? "…" : writes < 10 ? writes.toFixed(1) : number(Math.round(writes)), note("of the replicated log"), sparkline(rates, "Entries a second, the last two minutes")),
      fact("A linearizable read takes", `${answers.last.toFixed(1)} ms`, note("as this page sees it"), sparkline(answers, "Times of reads, the last two minutes")),
      fact("Instances", number(info.instances), note(plural(info.connections ?? 0, "connection", "connections"), " to this node")),
      fact("Log of this node", bytes(stats.total_size_bytes), note(plural(stats.entry_count, "entry", "entries"), " in ", plural(stats.segment_count, "segment", "segments"))),
      fact("Disk of this node", `${bytes(disk)}/s`, note(`${syncs.toFixed(1)} syncs a second, ${bytes(stats.io_stats.bytes_written)} since its start`)));
    show(table, ...status.nodes.map((node) => row(node, info.node_id)));
    const lags = replication.replicas?.map((replica) => `node ${replica.replica_id}: ${plural(replica.lag_entries, "entry", "entries")}`);
    show(below, agreement(status.nodes),
      lags?.length > 0 && note("Not yet acknowledged to the leader: ", lags.join(", ")),
      replication.role === "replica" && note("This node has applied everything up to ", number(replication.last_applied_sequence), ", the leader up to ", number(replication.primary_sequence)),
      note(`History from offset ${number(info.earliest_offset)} on. Feature level ${info.feature_level ?? 1}.`),
      info.chain && note("Chain over the log: ", h("code", null, info.chain.head.slice(0, 16), "…")));
  }, (error) => {
    if (wantsSignIn(error)) return;
    wait.remove();
    body.hidden = before === undefined;
    show(trouble, problem(error));
    if (before === undefined) main.append(trouble);
  });
}

