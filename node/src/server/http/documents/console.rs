//! The console: its files, which are in the program.

/// Path, media type, bytes.
type ConsoleFile = (&'static str, &'static str, &'static [u8]);

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

macro_rules! entry {
    (at $path:expr, $type:expr, $file:literal) => {
        (
            $path,
            $type,
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/console/", $file)),
        )
    };
    ($type:expr, $file:literal) => {
        entry!(at concat!("/console/", $file), $type, $file)
    };
}

/// All of them.
#[rustfmt::skip]
pub(super) static FILES: &[ConsoleFile] = &[
    entry!(at "/", "text/html; charset=utf-8", "index.html"),
    entry!(SCRIPT, "api.js"),
    entry!(SCRIPT, "app.js"),
    entry!(STYLE, "base.css"),
    entry!(SCRIPT, "chart.js"),
    entry!(SCRIPT, "diagram.js"),
    entry!(SCRIPT, "diff.js"),
    entry!(SCRIPT, "dom.js"),
    entry!(SCRIPT, "format.js"),
    entry!("image/svg+xml", "icon.svg"),
    entry!(SCRIPT, "json.js"),
    entry!(SCRIPT, "keys.js"),
    entry!(SCRIPT, "problem.js"),
    entry!(SCRIPT, "router.js"),
    entry!(SCRIPT, "scope.js"),
    entry!(STYLE, "screens.css"),
    entry!(SCRIPT, "screens/apply.js"),
    entry!(SCRIPT, "screens/cluster.js"),
    entry!(SCRIPT, "screens/counts.js"),
    entry!(SCRIPT, "screens/editor.js"),
    entry!(SCRIPT, "screens/history.js"),
    entry!(SCRIPT, "screens/instance.js"),
    entry!(SCRIPT, "screens/instances.js"),
    entry!(SCRIPT, "screens/live.js"),
    entry!(SCRIPT, "screens/locks.js"),
    entry!(SCRIPT, "screens/log.js"),
    entry!(SCRIPT, "screens/machine.js"),
    entry!(SCRIPT, "screens/machines.js"),
    entry!(SCRIPT, "screens/timers.js"),
    entry!(SCRIPT, "screens/versions.js"),
    entry!(SCRIPT, "sse.js"),
    entry!(SCRIPT, "theme.js"),
    entry!(SCRIPT, "tree.js"),
    entry!(SCRIPT, "virtual.js"),
];
