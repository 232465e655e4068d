//! How locks look.

use rstmdb_rcp::json::Json;

use super::{Paint, cell, printable, rows, time};

/// The locks of LOCK_GET and LOCK_LIST.
pub(super) fn list(result: &Json, paint: Paint) -> String {
    let columns = [
        ("lock", "name"),
        ("owner", "owner"),
        ("token", "token"),
        ("expires", "expires_at"),
        ("waiting", "waiting"),
    ];
    let items = result["locks"].items();
    if items.is_empty() {
        return format!("{}\n", paint.dim("no lock is held"));
    }
    let table = rows(&columns, items, &["token", "expires"], paint);
    let more = match &*cell(&result["next"]) {
        "" => String::new(),
        next => format!("{}\n", printable(&format!("more follow: --after '{next}'"))),
    };
    format!("{table}{}", paint.dim(&more))
}

/// A lock that was acquired or renewed.
pub(super) fn held(result: &Json) -> String {
    let name = cell(&result["name"]);
    let lines = [
        format!(
            "{name} is held by {} until {}",
            cell(&result["owner"]),
            time(&result["expires_at"])
        ),
        format!("token  {}", cell(&result["token"])),
        format!("fence  --fence {name}:{}", cell(&result["token"])),
    ];
    lines
        .iter()
        .map(|line| format!("{}\n", printable(line)))
        .collect()
}

/// A lock that was released.
pub(super) fn released(result: &Json) -> String {
    let next = match &*cell(&result["next_owner"]) {
        "" => "it is free".to_owned(),
        next => format!("{next} holds it now"),
    };
    let line = format!("{} is released; {next}", cell(&result["name"]));
    format!("{}\n", printable(&line))
}

/// What a record of the log says of a lock.
pub(super) fn changed(entry: &Json) -> String {
    let mut said = Vec::new();
    let ended = &entry["ended"];
    if !ended.is_null() {
        let how = cell(&ended["by"]);
        said.push(format!(
            "{how} of {} ({})",
            cell(&ended["owner"]),
            cell(&ended["token"])
        ));
    }
    let holder = &entry["holder"];
    if !holder.is_null() {
        let until = time(&holder["expires_at"]);
        let (owner, token) = (cell(&holder["owner"]), cell(&holder["token"]));
        said.push(format!("held by {owner} ({token}) until {until}"));
    }
    let waiter = &entry["waiter"];
    if !waiter.is_null() {
        said.push(format!("{} waits", cell(&waiter["owner"])));
    }
    said.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parsed(value: &Value) -> Json {
        Json::parse(&value.to_string()).unwrap_or(Json::Null)
    }

    #[test]
    fn locks_are_a_table() {
        let result = json!({"locks": [{"name": "billing", "owner": "w-1", "token": 17,
            "expires_at": 1_700_000_000_000_i64, "ttl_ms": 30000, "waiting": 2}], "next": "billing"});
        let expected = concat!(
            "lock     owner  token  expires               waiting\n",
            "billing  w-1    17     2023-11-14 22:13:20Z  2\n",
            "more follow: --after 'billing'\n",
        );
        assert_eq!(list(&parsed(&result), Paint::PLAIN), expected);
        assert_eq!(
            list(&parsed(&json!({"locks": []})), Paint::PLAIN),
            "no lock is held\n"
        );
    }

    #[test]
    fn a_grant_says_the_token_and_how_to_use_it() {
        let result = json!({"name": "billing", "owner": "w-1", "token": 17,
            "expires_at": 1_700_000_000_000_i64});
        let expected = concat!(
            "billing is held by w-1 until 2023-11-14 22:13:20Z\n",
            "token  17\n",
            "fence  --fence billing:17\n",
        );
        assert_eq!(held(&parsed(&result)), expected);
        let result = json!({"name": "billing", "owner": "w-1", "token": 17, "released": true,
            "next_owner": "w-2\u{1b}[2J"});
        let text = released(&parsed(&result));
        assert!(text.starts_with("billing is released; w-2") && !text.contains('\u{1b}'));
    }

    #[test]
    fn a_record_says_who_had_the_lock_and_who_has_it() {
        let entry = json!({"type": "lock_changed", "name": "billing",
            "ended": {"owner": "w-1", "token": 17, "by": "expiry"},
            "holder": {"owner": "w-2", "token": 40, "expires_at": 1_700_000_000_000_i64}});
        assert_eq!(
            changed(&parsed(&entry)),
            "expiry of w-1 (17); held by w-2 (40) until 2023-11-14 22:13:20Z"
        );
        let waits = json!({"waiter": {"owner": "w-3"}});
        assert_eq!(changed(&parsed(&waits)), "w-3 waits");
    }
}
