//! The console, in a real browser. Pictures of its screens are kept below target/console-shots: look at them after a
//! change.

mod ask;
mod browser;
mod shop;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::turns;
use ask::{ask_with, done};
use browser::Browser;
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::skipped::or_skipped;
use rstmdb_jepsen::ports;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::process::program;
use serde_json::{Value, json};

/// SHA-256 of the tokens `one` and `two`.
const ONE: &str = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
const TWO: &str = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
const ENTER: char = '\u{e007}';
const DOWN: char = '\u{e015}';
const ESCAPE: char = '\u{e00c}';
const START_WITHIN: Duration = Duration::from_secs(30);
/// What a person takes for at once, on a busy machine.
const SOON: Duration = Duration::from_secs(5);

fn http() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free().unwrap()))
}

fn serving(http: SocketAddr, more: &[(&str, &str)]) -> Node {
    let mut config = NodeConfig::for_tests();
    config.set("http.bind_addr", &http.to_string());
    for (key, value) in more {
        config.set(key, value);
    }
    if !more.iter().any(|(key, _)| *key == "auth.required") {
        return Node::start(&config).unwrap();
    }
    // The harness has no token, so it cannot see that the node is ready.
    let node = Node::spawn(&config).unwrap();
    let begun = Instant::now();
    while ask_while_it_starts(http) != Some(200) {
        assert!(begun.elapsed() < START_WITHIN, "{}", node.log_tail());
        std::thread::sleep(Duration::from_millis(50));
    }
    node
}

/// What a client with a token is answered; `None` while nothing listens.
fn ask_while_it_starts(http: SocketAddr) -> Option<u16> {
    TcpStream::connect(http).ok()?;
    let head = "Authorization: Bearer one\r\n";
    Some(ask_with(http, "GET", "/v1/machines", head, &Value::Null).0)
}

/// The screens, by their places, with something that each of them shows.
const SCREENS: [(&str, &str, &str); 11] = [
    ("cluster", "#/cluster", "Linearizable"),
    ("machines", "#/machines", "ticket"),
    ("machine", "#/machines/order", "REMIND"),
    (
        "versions",
        "#/machines/order/versions?from=1&to=2",
        "2 differences",
    ),
    ("editor", "#/machines/order/edit", "The node would take it"),
    ("instances", "#/instances", "order-0001"),
    ("instance", "#/instances/order-0004", "the customer asked"),
    ("live", "#/live?from_offset=0", "order-0159"),
    ("log", "#/log", "apply event"),
    ("timers", "#/timers", "REMIND"),
    ("locks", "#/locks", "nightly-report"),
];

fn is_no_wider_than_its_window(browser: &Browser, screen: &str) {
    let widths = browser.js("[document.documentElement.scrollWidth, window.innerWidth]");
    assert!(
        widths[0].as_u64() <= widths[1].as_u64(),
        "{screen} is wider than its window: {widths}"
    );
}

#[test]
fn every_screen_shows_what_the_node_has_in_light_and_dark_and_on_a_phone() {
    let _turn = turns::heavy();
    let Some(browser) = or_skipped(Browser::start()) else {
        return;
    };
    let http = http();
    let _node = serving(http, &[]);
    shop::fill(http, 160);
    for (kind, width, height) in [
        ("light", 1280, 900),
        ("dark", 1280, 900),
        ("phone", 360, 740),
    ] {
        browser.size(width, height);
        browser.prefers(
            "prefers-color-scheme",
            if kind == "dark" { "dark" } else { "light" },
        );
        for (screen, place, shown) in SCREENS {
            browser.goto(http, place);
            let text = json!(shown.to_lowercase());
            browser.until(&format!(
                "document.querySelector('#main').innerText.toLowerCase().includes({text}) || \
                 [...document.querySelectorAll('#main svg text')].some((one) => one.textContent.toLowerCase().includes({text}))"
            ));
            if screen == "machine" {
                browser.until("[...document.querySelectorAll('.count')].some((one) => Number(one.textContent) > 5)");
            }
            if screen == "cluster" && kind != "phone" {
                browser.until("document.querySelector('.spark .line') !== null");
            }
            is_no_wider_than_its_window(&browser, screen);
            browser.shot(&format!("{kind}-{screen}"));
        }
    }
    let ground = browser.js("getComputedStyle(document.body).backgroundColor");
    browser.click("#theme");
    browser.click("#theme");
    browser.until("document.documentElement.dataset.theme === 'dark'");
    assert_ne!(
        ground,
        browser.js("getComputedStyle(document.body).backgroundColor")
    );
    browser.has_no_faults(&[http]);
}

#[test]
fn an_event_is_applied_after_its_dry_run_was_shown_and_the_page_follows_the_instance() {
    let _turn = turns::light();
    let Some(browser) = or_skipped(Browser::start()) else {
        return;
    };
    let http = http();
    let _node = serving(http, &[]);
    shop::fill(http, 8);
    browser.goto(http, "#/instances/order-0001");
    browser.shows(".next", "PAY");
    browser.shows("h1", "awaiting_payment");
    let offset =
        || done(http, "GET", "/v1/instances/order-0001", &Value::Null)["last_wal_offset"].clone();
    let before = offset();
    browser.click("button[aria-label='Apply PAY']");
    browser.fill("#payload", "{\"by\": \"card\"");
    browser.click("dialog button.primary");
    browser.shows(".field-problem", "expected , or }");
    browser.fill(
        "#payload",
        "{\"by\": \"card\", \"sum\": 12345678901234567890}",
    );
    browser.fill("#reason", "by phone");
    browser.click("dialog button.primary");
    browser.shows(".outcome", "paid");
    browser.shows(".outcome .changed", "12345678901234567890");
    browser.shot("apply");
    assert_eq!(offset(), before, "a dry run has changed the instance");
    browser.click("dialog button.danger");
    browser.shows("h1", "paid");
    browser.shows(".step.shown", "by phone");
    let ctx = done(http, "GET", "/v1/instances/order-0001", &Value::Null)["ctx"].to_string();
    assert!(ctx.contains("\"by\":\"card\""), "{ctx}");
    // What others do appears by itself, and the way so far is lit.
    shop::apply(http, "order-0001", "PACK", json!({}));
    browser.shows("h1", "packed");
    browser.until("document.querySelectorAll('.diagram .edge.taken').length === 3");
    browser.shows(".next", "does not hold");
    browser.shows(".next", "ctx.address");
    // An event that is refused is shown with its reason.
    browser.click("button[aria-label='Apply SHIP']");
    browser.click("dialog button.primary");
    browser.shows("dialog .problem", "GUARD_FAILED");
    browser.press(&ESCAPE.to_string());
    browser.until("document.querySelector('dialog') === null");
    // Back through the history.
    browser.js("(() => { const slider = document.querySelector('input[type=range]'); slider.value = '1'; slider.dispatchEvent(new Event('input')); return 1; })()");
    browser.until(
        "document.querySelector('.diagram .current .name').textContent === 'awaiting_payment'",
    );
    browser.shows(".slide .note", "step 2 of 4");
    browser.has_no_faults(&[http]);
}

#[test]
fn a_definition_is_checked_while_it_is_typed_and_its_faults_have_places() {
    let _turn = turns::light();
    let Some(browser) = or_skipped(Browser::start()) else {
        return;
    };
    let http = http();
    let _node = serving(http, &[]);
    browser.goto(http, "#/machines");
    browser.shows(".empty", "No machines yet");
    browser.click(".empty a");
    browser.shows(".checks", "The node would take it");
    browser.until("document.querySelector('.editor button[type=submit]').disabled");
    browser.fill("#machine", "door");
    browser.until("!document.querySelector('.editor button[type=submit]').disabled");
    browser.fill("#definition", "{\"format\": 2,\n \"states\": [\"open\"");
    browser.shows(".faults", "line 2");
    browser.fill(
        "#definition",
        "{\"format\": 2, \"initial\": \"open\",\n \"states\": [\"open\", \"shut\"],\n \"transitions\": [{\"from\": \"open\", \"event\": \"SHUT\", \"to\": \"shutt\"}]}",
    );
    browser.shows(".faults", "transitions[0].to");
    browser.shows(".faults", "line 3");
    browser.shot("editor-fault");
    browser.click(".faults button");
    browser.until("(() => { const area = document.querySelector('#definition'); return area.value.slice(area.selectionStart, area.selectionEnd) === '\"shutt\"'; })()");
    browser.fill(
        "#definition",
        "{\"format\": 2, \"initial\": \"open\", \"states\": [\"open\", \"shut\"], \"transitions\": [{\"from\": \"open\", \"event\": \"SHUT\", \"to\": \"shut\"}]}",
    );
    browser.shows(".faults", "final");
    browser.until("!document.querySelector('.editor button[type=submit]').disabled");
    browser.click(".editor button[type=submit]");
    browser.shows("h1", "door");
    assert_eq!(
        done(http, "GET", "/v1/machines/door", &Value::Null)["version"],
        1
    );
    browser.back();
    browser.shows("h1", "New machine");
    browser.has_no_faults(&[http]);
}

#[test]
fn markup_quotes_escapes_and_marks_of_direction_in_names_are_only_text() {
    let _turn = turns::light();
    let Some(browser) = or_skipped(Browser::start()) else {
        return;
    };
    let http = http();
    let _node = serving(http, &[]);
    let evil = |what: &str| {
        format!(
            "<img src=x onerror=\"window.harm='{what}'\">'\"&amp;{{{{{what}}}}}\u{202e}{what}<script>window.harm=1</script>"
        )
    };
    // Names cannot have control characters; contexts can.
    let loud = |what: &str| format!("{}\u{1b}[31m", evil(what));
    let (machine, state, other, event) =
        (evil("machine"), evil("state"), evil("other"), evil("event"));
    let id = evil("id");
    let definition = json!({ "states": [state, other], "initial": state,
        "transitions": [{ "from": state, "event": event, "to": other, "guard": "ctx.a != \"<b onclick=harm()>\"" }] });
    let batch = json!({ "mode": "atomic", "ops": [
        { "op": "PUT_MACHINE", "params": { "machine": machine, "version": 1, "definition": definition } },
        { "op": "CREATE_INSTANCE", "params": { "instance_id": id, "machine": machine, "initial_ctx": { (loud("key")): loud("value"), "a": 1 } } },
    ] });
    done(http, "POST", "/v1/batch", &batch);
    let apply = json!({ "ops": [{ "op": "APPLY_EVENT", "params": { "instance_id": id, "event": event,
        "payload": { (loud("field")): [loud("item")] }, "reason": "<i>why</i>", "headers": { "<u>h": evil("header") } } }] });
    done(http, "POST", "/v1/batch", &apply);
    let lock = json!({ "owner": evil("owner"), "ttl_ms": 600_000 });
    let path = "/v1/locks/%3Cimg%20src%3Dx%20onerror%3D%22window.harm%3D1%22%3E/acquire";
    done(http, "POST", path, &lock);
    let encoded = |text: &str| {
        browser
            .js(&format!("encodeURIComponent({})", json!(text)))
            .as_str()
            .unwrap()
            .to_owned()
    };
    browser.goto(http, "#/cluster");
    let (machine_place, id_place) = (encoded(&machine), encoded(&id));
    let places = [
        ("machines", "#/machines".to_owned()),
        ("machine", format!("#/machines/{machine_place}")),
        ("edit", format!("#/machines/{machine_place}/edit")),
        ("versions", format!("#/machines/{machine_place}/versions")),
        ("instances", format!("#/instances?machine={machine_place}")),
        ("instance", format!("#/instances/{id_place}")),
        ("live", "#/live?from_offset=0".to_owned()),
        ("log", "#/log".to_owned()),
        ("locks", "#/locks".to_owned()),
    ];
    for (screen, place) in places {
        browser.goto(http, &place);
        browser.until("document.querySelector('#main').innerText.includes('onerror') || (document.querySelector('#definition')?.value ?? '').includes('onerror')");
        if screen == "instance" {
            browser.shows(".step", "<i>why</i>");
            browser.shows(".tree", "field");
        }
        browser.until("window.harm === undefined && document.querySelector('#main :is(img, script, b, i, u)') === null");
        if screen != "edit" {
            let text = browser.text("#main");
            assert!(!text.contains(['\u{1b}', '\u{202e}']), "{screen}: {text:?}");
            assert!(
                text.contains("U+202E"),
                "{screen} hides a mark of direction: {text:?}"
            );
        }
        browser.shot(&format!("hostile-{screen}"));
    }
    browser.has_no_faults(&[http]);
}

#[test]
fn a_token_is_asked_for_and_forgotten_with_the_tab() {
    let _turn = turns::light();
    let Some(browser) = or_skipped(Browser::start()) else {
        return;
    };
    let http = http();
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("tokens");
    std::fs::write(&secrets, format!("{ONE}\n")).unwrap();
    let path = secrets.display().to_string();
    let keys = [
        ("auth.required", "true"),
        ("auth.secrets_file", path.as_str()),
    ];
    let node = serving(http, &keys);
    browser.goto(http, "#/machines");
    browser.shows("h1", "Sign in");
    browser.shot("sign-in");
    browser.fill("#token", "wrong");
    browser.press(&ENTER.to_string());
    browser.shows(".field-problem", "refused the token");
    browser.fill("#token", "one");
    browser.press(&ENTER.to_string());
    browser.shows(".empty", "No machines yet");
    // Streams carry the token, too.
    let put = json!({ "definition": shop::order(1) });
    let head = "Authorization: Bearer one\r\n";
    assert_eq!(
        ask_with(http, "PUT", "/v1/machines/order/versions/1", head, &put).0,
        200
    );
    browser.goto(http, "#/live");
    browser.shows(".sub", "live");
    browser.js("location.reload()");
    browser.shows(".sub", "live");
    assert!(browser.js("sessionStorage.length === 1 && !document.cookie && Object.keys(localStorage).length === 0").as_bool().unwrap());
    // A token that is taken back ends the session of the page.
    std::fs::write(&secrets, format!("{TWO}\n")).unwrap();
    node.signal(rustix::process::Signal::HUP).unwrap();
    browser.shows("h1", "Sign in");
    assert_eq!(browser.js("sessionStorage.length"), 0);
    browser.has_no_faults(&[http]);
}

#[test]
fn the_keyboard_reaches_every_screen_and_every_row() {
    let _turn = turns::light();
    let Some(browser) = or_skipped(Browser::start()) else {
        return;
    };
    let http = http();
    let _node = serving(http, &[]);
    shop::fill(http, 150);
    browser.goto(http, "");
    browser.shows("h1", "Cluster");
    for (keys, title) in [
        ("gm", "Machines"),
        ("gi", "Instances"),
        ("gl", "Live"),
        ("go", "Log"),
        ("gt", "Timers"),
        ("gk", "Locks"),
        ("gc", "Cluster"),
    ] {
        browser.press(keys);
        browser.shows("h1", title);
        browser.shows("#nav a[aria-current=page]", title);
    }
    browser.press("?");
    browser.shows("dialog", "Through a list");
    browser.press(&ESCAPE.to_string());
    browser.until("document.querySelector('dialog') === null");
    browser.press("gi");
    browser.shows(".row", "order-0000");
    browser.press("/");
    browser.until("document.activeElement.type === 'search'");
    browser.press("order-01");
    browser.shows(".sub", "50 instances");
    browser.press(&format!("{DOWN}{DOWN}"));
    browser.until("document.activeElement.textContent.includes('order-0101')");
    browser.press(&ENTER.to_string());
    browser.shows("h1", "order-0101");
    browser.back();
    browser.shows("h1", "Instances");
    browser.until("document.querySelector('[data-search]').value === 'order-01'");
    // Tab shows where it is.
    browser.press("\u{e004}");
    let outline = browser.js("getComputedStyle(document.activeElement).outlineStyle");
    assert_ne!(outline, "none");
    // Whatever can be used has a name that a screen reader can say.
    for place in [
        "#/cluster",
        "#/machines/order",
        "#/instances/order-0003",
        "#/live",
        "#/log",
    ] {
        browser.goto(http, place);
        browser.until("document.querySelector('#main h1') !== null && document.querySelector('#main .loading') === null");
        let nameless = browser.js(
            "[...document.querySelectorAll('button, a, input, select, textarea, [tabindex=\"0\"]')].filter((one) => \
             one.offsetParent !== null && !(one.textContent.trim() || one.getAttribute('aria-label') || one.labels?.length)).map((one) => one.outerHTML)",
        );
        assert_eq!(nameless, json!([]), "{place}");
    }
    browser.has_no_faults(&[http]);
}

#[test]
fn ten_thousand_states_and_instances_are_lists_that_scroll() {
    let _turn = turns::alone();
    let Some(browser) = or_skipped(Browser::start()) else {
        return;
    };
    let http = http();
    let _node = serving(http, &[]);
    let states: Vec<String> = (0..10_000)
        .map(|number| format!("state-{number:05}"))
        .collect();
    let transitions: Vec<Value> = (0..9_999)
        .map(|number| json!({ "from": states[number], "event": "NEXT", "to": states[number + 1] }))
        .collect();
    shop::put(
        http,
        "giant",
        1,
        json!({ "states": states, "initial": states[0], "transitions": transitions }),
    );
    let numbers: Vec<u32> = (0..10_000).collect();
    for part in numbers.chunks(100) {
        let ops: Vec<Value> = part
            .iter()
            .map(|number| json!({ "op": "CREATE_INSTANCE", "params": { "instance_id": format!("i-{number:05}"), "machine": "giant" } }))
            .collect();
        done(
            http,
            "POST",
            "/v1/batch",
            &json!({ "mode": "atomic", "ops": ops }),
        );
    }
    let layout = done(
        http,
        "GET",
        "/v1/machines/giant?include=layout",
        &Value::Null,
    );
    assert_eq!(layout["layout"], Value::Null, "a picture of 10,000 states");
    browser.goto(http, "#/machines/giant");
    browser.shows(".row", "state-00000");
    browser.shows(".row-end", "10K");
    let rows = "document.querySelectorAll('.row').length";
    assert!(browser.js(rows).as_u64().unwrap() < 100);
    let begun = Instant::now();
    browser.js("(() => { document.querySelector('.virtual').scrollTop = 1e9; return 1; })()");
    browser.shows(".row", "state-09999");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    browser.goto(http, "#/instances?machine=giant&state=state-00000");
    browser.shows(".sub", "10,000 instances");
    browser.shows(".row", "i-00000");
    for _ in 0..4 {
        browser.js("(() => { document.querySelector('.virtual').scrollTop = 1e9; return 1; })()");
        browser.until("(() => { const list = document.querySelector('.virtual'); return list.scrollTop + list.clientHeight < list.scrollHeight - 1000; })()");
    }
    assert!(browser.js(rows).as_u64().unwrap() < 100);
    browser.fill("[data-search]", "i-099");
    browser.shows(".sub", "100 instances");
    browser.has_no_faults(&[http]);
}

#[test]
fn a_page_that_watches_goes_on_when_the_leader_is_killed() {
    let _turn = turns::heavy();
    let Some(browser) = or_skipped(Browser::start()) else {
        return;
    };
    let mut cluster = Cluster::prepare(3, &NodeConfig::for_tests()).unwrap();
    let places: Vec<SocketAddr> = cluster.ids().iter().map(|_| http()).collect();
    for (id, place) in cluster.ids().into_iter().zip(&places) {
        let node = cluster.node(id).unwrap();
        node.change_key("http.bind_addr", &place.to_string())
            .unwrap();
        cluster.launch(id).unwrap();
    }
    for id in cluster.ids() {
        cluster.wait_ready(id).unwrap();
    }
    let at = |id: u64| places[usize::try_from(id).unwrap() - 1];
    let leader = cluster.leader().unwrap();
    let followers = cluster.followers().unwrap();
    shop::put(at(leader), "order", 1, shop::order(1));
    let create = |node: u64, number: u32| {
        let body = json!({ "instance_id": format!("o-{number}"), "machine": "order", "initial_ctx": { "total": 9 } });
        let begun = Instant::now();
        // Until there is a new leader, a node refuses writes or does not know their outcome.
        while ask_with(at(node), "POST", "/v1/instances", "", &body).0 >= 500 {
            assert!(begun.elapsed() < Duration::from_secs(20), "no new leader");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    browser.goto(at(followers[0]), "#/cluster");
    browser.until("document.querySelectorAll('.nodes tbody tr').length === 3");
    browser.until("[...document.querySelectorAll('.nodes .badge')].filter((one) => one.textContent === 'healthy').length === 3");
    browser.shot("light-cluster-3");
    browser.goto(at(followers[0]), "#/live");
    browser.shows(".sub", "live");
    create(leader, 0);
    browser.shows(".row", "o-0");
    cluster.kill(leader).unwrap();
    for number in 1..6 {
        create(followers[1], number);
    }
    for number in 0..6 {
        browser.shows(".row", &format!("o-{number}"));
    }
    let rows = browser.js("[...document.querySelectorAll('.row')].map((row) => row.querySelector('strong').textContent)");
    assert_eq!(
        rows,
        json!(["o-5", "o-4", "o-3", "o-2", "o-1", "o-0"]),
        "a gap or a double"
    );
    browser.press("gc");
    browser.shows(".nodes .badge", "unreachable");
    browser.shot("cluster-leader-killed");
    // The page of a node that dies says so, and goes on behind what it had when the node is back.
    browser.goto(at(followers[0]), "#/live");
    browser.shows(".sub", "live");
    create(followers[1], 6);
    browser.shows(".row", "o-6");
    cluster.launch(leader).unwrap();
    cluster.wait_ready(leader).unwrap();
    cluster.kill(followers[0]).unwrap();
    browser.shows("#banner", "does not answer");
    browser.shows(".sub", "reconnecting");
    browser.shot("node-away");
    create(followers[1], 7);
    cluster.launch(followers[0]).unwrap();
    cluster.wait_ready(followers[0]).unwrap();
    browser.shows(".row", "o-7");
    browser.until("document.querySelector('#banner').hidden");
    let rows = browser.js("[...document.querySelectorAll('.row')].map((row) => row.querySelector('strong').textContent)");
    assert_eq!(rows, json!(["o-7", "o-6"]), "a gap or a double");
    browser.has_no_faults(&places);
}

#[test]
fn the_parts_of_the_console_that_think_pass_their_own_tests() {
    let _turn = turns::light();
    let is_new_enough = "process.exit(Number(process.versions.node.split('.')[0]) < 18 ? 1 : 0)";
    let node = program::run(Command::new("node").args(["-e", is_new_enough]));
    if !node.is_ok_and(|ended| ended.status.success()) {
        rstmdb_jepsen::skipped("node is missing or older than 18");
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/console");
    let tests = Command::new("node")
        .args(["--test", "tests/console.test.js"])
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tests.stdout);
    assert!(tests.status.success(), "{said}");
}
