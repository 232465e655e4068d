//! Which calls may be retried, and when.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::BATCH_OPS_MAX;
use crate::message::asking::DRY_RUN;
use crate::message::fields::Fields;
use crate::message::locks::WAIT_MS;
use crate::message::op::{self, OpKind};

const KEY: &str = "idempotency_key";
const OPS: &str = "ops";
const WAIT: &str = "wait_ms";
/// The server answers an advance of its clock within this time, and goes on after it. A call that gave up earlier would
/// tempt its caller to repeat it, which advances the clock twice.
const CLOCK_ADVANCE_WAIT: Duration = Duration::from_secs(600);
/// Everything that a batch may say.
const BATCH_FIELDS: [&str; 7] = [
    "mode",
    OPS,
    "headers",
    "reason",
    "correlation_id",
    "causation_id",
    "fence",
];

/// A call, and whether it may be repeated.
pub(super) struct RetryPlan<'a> {
    /// With idempotency keys added, where they were asked for.
    pub(super) params: Cow<'a, RawValue>,
    /// It may be sent twice: the second time changes nothing, as long as the instance lives.
    pub(super) repeatable: bool,
    /// It may be sent to another node while the first one still works on it, because it concerns the cluster
    /// and not one node's files.
    pub(super) movable: bool,
    /// It is a dry run. A server that does not know dry runs would execute it.
    pub(super) dry_run: bool,
    /// It changes something, so an unknown outcome must be reported.
    pub(super) writes: bool,
    /// For how long the server may wait before it answers, beyond the usual time.
    pub(super) wait: Duration,
    /// The wait is `wait_ms` of the parameters: until a lock is free.
    counts_down: bool,
}

impl RetryPlan<'_> {
    /// The parameters of an attempt that is sent when so much time of the call has passed. Only the rest of the wait for
    /// a lock is left: a server that waited for longer would grant the lock to a caller that has given up.
    pub(super) fn params_after(&self, passed: Duration) -> Cow<'_, RawValue> {
        let left = self.wait.saturating_sub(passed).as_millis();
        // Of two fields of one name, the last one counts. A call that waits has the field already.
        let with_left = |params: &RawValue| {
            let body = params.get().strip_suffix('}')?;
            RawValue::from_string(format!("{body},\"{WAIT}\":{left}}}")).ok()
        };
        if !self.counts_down || passed.as_millis() == 0 {
            return Cow::Borrowed(&self.params);
        }
        with_left(&self.params).map_or(Cow::Borrowed(&self.params), Cow::Owned)
    }
}

/// Decides whether a call may be retried after its connection is lost.
pub(super) fn plan<'a>(name: &str, params: &'a RawValue, add_keys: bool) -> RetryPlan<'a> {
    let dry_run = op::kind(name) == Some(OpKind::Write) && is_dry_run(params);
    let (params, repeatable) = match op::kind(name) {
        _ if only_asks(name, params.get()) => (Cow::Borrowed(params), true),
        _ if dry_run => (Cow::Borrowed(params), true),
        Some(OpKind::Read | OpKind::Session | OpKind::Maintenance) => (Cow::Borrowed(params), true),
        Some(OpKind::Watch) | None => (Cow::Borrowed(params), false),
        Some(OpKind::Write) => plan_write(name, params, add_keys),
    };
    let writes = matches!(op::kind(name), Some(OpKind::Write) | None)
        && !dry_run
        && !only_asks(name, params.get());
    let of_one_node =
        op::kind(name) == Some(OpKind::Maintenance) && !op::needs_cluster_feature(name);
    let wait = wait_of(name, params.get());
    let movable = repeatable && !of_one_node && wait.is_zero();
    RetryPlan {
        params,
        repeatable,
        movable,
        dry_run,
        writes,
        wait,
        counts_down: name == op::LOCK_ACQUIRE && !wait.is_zero(),
    }
}

/// Whether an operation that can write says with these parameters that it only asks.
fn only_asks(name: &str, params: &str) -> bool {
    let field = match name {
        op::AUTOMATION => "set",
        op::CLOCK_ADVANCE => "by",
        _ => return false,
    };
    Fields::split("", params, [field]).is_ok_and(|fields| fields.get(field).is_none())
}

fn wait_of(name: &str, params: &str) -> Duration {
    match name {
        op::LOCK_ACQUIRE => lock_wait(params),
        op::CLOCK_ADVANCE => {
            let advances = Fields::split("", params, ["by"]).is_ok_and(|it| it.get("by").is_some());
            if advances {
                CLOCK_ADVANCE_WAIT
            } else {
                Duration::ZERO
            }
        }
        _ => Duration::ZERO,
    }
}

fn lock_wait(params: &str) -> Duration {
    let fields = Fields::split("", params, [WAIT]);
    let wait_ms = fields
        .ok()
        .and_then(|fields| fields.get(WAIT)?.get().parse().ok());
    // The server refuses a longer wait at once.
    let wait_ms = wait_ms.filter(|wait_ms| WAIT_MS.contains(wait_ms));
    Duration::from_millis(wait_ms.unwrap_or(0))
}

fn is_dry_run(params: &RawValue) -> bool {
    let text = params.get();
    // A name may be written with escapes.
    if !text.contains(DRY_RUN) && !text.contains("\\u") {
        return false;
    }
    let fields = Fields::split("", text, [DRY_RUN]);
    fields.is_ok_and(|fields| fields.get(DRY_RUN).is_some_and(|raw| raw.get() == "true"))
}

fn plan_write<'a>(name: &str, params: &'a RawValue, add_keys: bool) -> (Cow<'a, RawValue>, bool) {
    match name {
        // The same definition again is answered with `created: false`. What is paused is paused once. An owner gets the
        // token that it has, and an expiry never moves back.
        op::PUT_MACHINE | op::AUTOMATION | op::LOCK_ACQUIRE | op::LOCK_RENEW => {
            (Cow::Borrowed(params), true)
        }
        op::BATCH => plan_batch(params, add_keys),
        name if op::takes_idempotency_key(name) => plan_keyed(params, add_keys),
        _ => (Cow::Borrowed(params), false),
    }
}

fn plan_keyed(params: &RawValue, add_keys: bool) -> (Cow<'_, RawValue>, bool) {
    let Ok(fields) = Fields::split("", params.get(), [KEY]) else {
        return (Cow::Borrowed(params), false);
    };
    if fields.get(KEY).is_some() {
        return (Cow::Borrowed(params), true);
    }
    if !add_keys || fields.is_null(KEY) {
        return (Cow::Borrowed(params), false);
    }
    match with_key(params) {
        Some(keyed) => (Cow::Owned(keyed), true),
        None => (Cow::Borrowed(params), false),
    }
}

fn with_key(params: &RawValue) -> Option<Box<RawValue>> {
    let body = params.get().strip_suffix('}')?.trim_end();
    let comma = if body.ends_with('{') { "" } else { "," };
    let key = uuid::Uuid::new_v4();
    RawValue::from_string(format!("{body}{comma}\"{KEY}\":\"{key}\"}}")).ok()
}

/// A batch may be sent twice if each of its operations may.
fn plan_batch(params: &RawValue, add_keys: bool) -> (Cow<'_, RawValue>, bool) {
    match replan_batch(params, add_keys) {
        Some((Some(keyed), repeatable)) => (Cow::Owned(keyed), repeatable),
        Some((None, repeatable)) => (Cow::Borrowed(params), repeatable),
        None => (Cow::Borrowed(params), false),
    }
}

fn replan_batch(params: &RawValue, add_keys: bool) -> Option<(Option<Box<RawValue>>, bool)> {
    let fields = Fields::split("", params.get(), BATCH_FIELDS).ok()?;
    let items = fields.items(OPS, "", BATCH_OPS_MAX).ok()?;
    let mut ops = Vec::with_capacity(items.len());
    let (mut repeatable, mut changed) = (true, false);
    for item in items {
        let item = Fields::split("", item.get(), ["op", "params"]).ok()?;
        let name: String = serde_json::from_str(item.get("op")?.get()).ok()?;
        let Some(params) = item.get("params") else {
            ops.push(serde_json::json!({ "op": name }).to_string());
            continue;
        };
        let plan = plan(&name, params, add_keys);
        repeatable &= plan.repeatable;
        changed |= matches!(plan.params, Cow::Owned(_));
        let name = serde_json::to_string(&name).ok()?;
        ops.push(format!(
            "{{\"op\":{name},\"params\":{}}}",
            plan.params.get()
        ));
    }
    if !changed {
        return Some((None, repeatable));
    }
    let others = BATCH_FIELDS.into_iter().filter(|name| *name != OPS);
    let others = others.filter_map(|name| Some((name, fields.get(name)?)));
    let others = others.map(|(name, value)| format!("\"{name}\":{},", value.get()));
    let text = format!(
        "{{{}\"{OPS}\":[{}]}}",
        others.collect::<String>(),
        ops.join(",")
    );
    Some((Some(RawValue::from_string(text).ok()?), repeatable))
}

/// Growing pauses. Each is shortened at random, so that many clients do not retry at the same time.
pub(super) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self { next: min, max }
    }

    /// The next pause: between half of it and all of it.
    pub(super) fn pause(&mut self) -> Duration {
        let full = self.next.min(self.max);
        self.next = full.saturating_mul(2);
        let half = full / 2;
        half + half.mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::Value;

    use super::*;

    fn planned(name: &str, params: &str, add_keys: bool) -> (Value, bool) {
        let params = RawValue::from_string(params.to_owned()).unwrap();
        let plan = plan(name, &params, add_keys);
        (
            serde_json::from_str(plan.params.get()).unwrap(),
            plan.repeatable,
        )
    }

    #[test]
    fn reads_and_definitions_may_be_repeated_and_unkeyed_writes_may_not() {
        assert!(planned("GET_INSTANCE", "{}", false).1);
        assert!(planned("PUT_MACHINE", "{}", false).1);
        for name in [
            "APPLY_EVENT",
            "TIMER_SET",
            "CREATE_INSTANCE",
            "DELETE_INSTANCE",
        ] {
            assert!(!planned(name, "{}", false).1, "{name}");
            assert!(
                planned(name, r#"{"idempotency_key":"k"}"#, false).1,
                "{name}"
            );
        }
        assert!(planned("LOCK_ACQUIRE", "{}", false).1 && planned("LOCK_RENEW", "{}", false).1);
        assert!(!planned("LOCK_RELEASE", "{}", true).1);
        assert!(!planned("FLUSH_ALL", "{}", true).1);
        assert!(!planned("FROM_THE_FUTURE", "{}", true).1);
    }

    #[test]
    fn an_operation_that_only_asks_is_repeated_like_a_read() {
        let plan_of = |name, params: &str| {
            let params = RawValue::from_string(params.to_owned()).unwrap();
            let plan = plan(name, &params, true);
            (plan.repeatable, plan.writes)
        };
        assert_eq!(plan_of("AUTOMATION", "{}"), (true, false));
        assert_eq!(plan_of("AUTOMATION", r#"{"set":"paused"}"#), (true, true));
        assert_eq!(plan_of("CLOCK_ADVANCE", "{}"), (true, false));
        assert_eq!(plan_of("CLOCK_ADVANCE", r#"{"by":"1h"}"#), (false, true));
    }

    #[test]
    fn a_dry_run_is_repeated_like_a_read_and_gets_no_key() {
        let plan_of = |name, params: &str| {
            let params = RawValue::from_string(params.to_owned()).unwrap();
            let plan = plan(name, &params, true);
            (
                plan.dry_run,
                plan.repeatable,
                plan.movable,
                plan.writes,
                plan.params.get().to_owned(),
            )
        };
        for name in [
            "APPLY_EVENT",
            "CREATE_INSTANCE",
            "BATCH",
            "FLUSH_ALL",
            "PUT_MACHINE",
        ] {
            for asks in [r#"{"dry_run":true}"#, r#"{"dry\u005frun": true}"#] {
                let expected = (true, true, true, false, asks.to_owned());
                assert_eq!(plan_of(name, asks), expected, "{name}");
            }
            let (dry_run, .., writes, _) =
                plan_of(name, r#"{"dry_run":false,"payload":{"dry_run":true}}"#);
            assert!(!dry_run && writes, "{name}");
        }
        assert!(!plan_of("GET_INSTANCE", r#"{"dry_run":true}"#).0);
    }

    #[test]
    fn only_the_upkeep_of_one_nodes_files_stays_at_its_node() {
        let moves = |name| {
            let params = RawValue::from_string("{}".to_owned()).unwrap();
            plan(name, &params, false).movable
        };
        for name in ["GET_INSTANCE", "CLUSTER_STATUS", "CLUSTER_REMOVE", "INFO"] {
            assert!(moves(name), "{name}");
        }
        for name in ["COMPACT", "SNAPSHOT_INSTANCE", "APPLY_EVENT", "FLUSH_ALL"] {
            assert!(!moves(name), "{name}");
        }
    }

    #[test]
    fn a_call_that_waits_for_a_lock_has_more_time_and_stays_at_its_node() {
        let plan_of = |params: &str| {
            let params = RawValue::from_string(params.to_owned()).unwrap();
            let plan = plan("LOCK_ACQUIRE", &params, false);
            (plan.wait, plan.movable)
        };
        assert_eq!(plan_of("{}"), (Duration::ZERO, true));
        assert_eq!(plan_of(r#"{"wait_ms":"x"}"#), (Duration::ZERO, true));
        let minute = Duration::from_secs(60);
        assert_eq!(plan_of(r#"{"wait_ms":60000}"#), (minute, false));
        let day = Duration::from_secs(86_400);
        assert_eq!(plan_of(r#"{"wait_ms":86400000}"#), (day, false));
        assert_eq!(plan_of(r#"{"wait_ms":86400001}"#), (Duration::ZERO, true));
    }

    #[test]
    fn an_advance_of_the_clock_has_more_time_and_is_not_repeated() {
        let plan_of = |params: &str| {
            let params = RawValue::from_string(params.to_owned()).unwrap();
            let plan = plan("CLOCK_ADVANCE", &params, true);
            assert_eq!(plan.repeatable, plan.movable);
            assert_eq!(
                plan.params_after(Duration::from_secs(9)).get(),
                params.get()
            );
            (plan.wait, plan.repeatable)
        };
        let advances = (Duration::from_secs(600), false);
        assert_eq!(plan_of(r#"{"by":"30m"}"#), advances);
        let only_asks = (Duration::ZERO, true);
        assert_eq!(plan_of("{}"), only_asks);
        assert_eq!(plan_of(r#"{"by":null}"#), only_asks);
    }

    #[test]
    fn a_later_attempt_waits_for_what_is_left() {
        let sent = |op, params: &str, passed_ms| {
            let params = RawValue::from_string(params.to_owned()).unwrap();
            let plan = plan(op, &params, false);
            let sent = plan.params_after(Duration::from_millis(passed_ms));
            sent.get().to_owned()
        };
        let asked = r#"{"name":"l","wait_ms":60000,"reason":"}" }"#;
        assert_eq!(sent("LOCK_ACQUIRE", asked, 0), asked);
        for (passed_ms, left_ms) in [(1, 59_999), (40_000, 20_000), (60_000, 0), (70_000, 0)] {
            let sent = sent("LOCK_ACQUIRE", asked, passed_ms);
            let sent: Value = serde_json::from_str(&sent).unwrap();
            assert_eq!(sent["wait_ms"], left_ms);
            assert_eq!((&sent["name"], &sent["reason"]), (&"l".into(), &"}".into()));
        }
        for other in ["{}", r#"{"wait_ms":86400001}"#, r#"{"wait_ms":"x"}"#] {
            assert_eq!(sent("LOCK_ACQUIRE", other, 40_000), other);
        }
        assert_eq!(sent("APPLY_EVENT", asked, 40_000), asked);
    }

    #[test]
    fn keys_are_added_where_there_are_none() {
        let (params, repeatable) = planned("APPLY_EVENT", r#"{"event":"PAY" }"#, true);
        assert!(repeatable);
        assert_eq!(params["event"], "PAY");
        assert_eq!(params[KEY].as_str().unwrap().len(), 36);
        assert_ne!(params[KEY], planned("APPLY_EVENT", "{}", true).0[KEY]);
        let (params, _) = planned("APPLY_EVENT", r#"{"idempotency_key":"mine"}"#, true);
        assert_eq!(params[KEY], "mine");
        let (_, repeatable) = planned("APPLY_EVENT", r#"{"idempotency_key":null}"#, true);
        assert!(!repeatable, "a null key is a wish");
    }

    #[test]
    fn a_batch_is_as_repeatable_as_its_operations() {
        let batch = r#"{"mode":"atomic","reason":"why","headers":{"a":"b"},"fence":{"lock":"l","token":7},"ops":[
            {"op":"APPLY_EVENT","params":{"event":"A","idempotency_key":"k"}},
            {"op":"APPLY_EVENT","params":{"event":"B"}},
            {"op":"GET_INSTANCE","params":{}}]}"#;
        assert!(!planned("BATCH", batch, false).1);
        let (params, repeatable) = planned("BATCH", batch, true);
        assert!(repeatable);
        assert_eq!(params["mode"], "atomic");
        assert_eq!(params["reason"], "why");
        assert_eq!(params["headers"]["a"], "b");
        assert_eq!(params["fence"]["token"], 7);
        assert_eq!(params["ops"][0]["params"][KEY], "k");
        assert_eq!(params["ops"][1]["params"][KEY].as_str().unwrap().len(), 36);
        assert_eq!(params["ops"][2]["params"], serde_json::json!({}));
        assert!(!planned("BATCH", r#"{"ops":[5]}"#, true).1);
    }

    #[test]
    fn pauses_grow_to_the_limit() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(50));
        for full_ms in [10, 20, 40, 50, 50] {
            let pause = backoff.pause();
            assert!(pause >= Duration::from_millis(full_ms / 2), "{pause:?}");
            assert!(pause <= Duration::from_millis(full_ms), "{pause:?}");
        }
    }
}
