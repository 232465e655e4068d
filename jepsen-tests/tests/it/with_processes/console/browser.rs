//! A real browser: Debian's chromium, driven by its chromedriver.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::{binaries, ports};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::ask::{ask, done};

/// How long a page may take to show something.
const SHOWN_TIMEOUT: Duration = Duration::from_secs(20);
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Messages of the browser that no page causes: the node is away, or refuses, as the test wants.
const EXPECTED: [&str; 1] = ["Failed to load resource"];

/// A browser with one page. Dropping it ends both programs.
pub(super) struct Browser {
    runtime: Runtime,
    client: Option<Client>,
    driver: Child,
    at: SocketAddr,
    session: String,
    pictures: PathBuf,
    profile: TempDir,
}

impl Browser {
    /// Starts it, if it is on this machine.
    pub(super) fn start() -> Result<Self, String> {
        let found = |name: &str| {
            let said = Command::new(name).arg("--version").output();
            said.is_ok_and(|said| said.status.success())
        };
        if !found("chromedriver") || !found("chromium") {
            return Err(
                "chromium or chromedriver is not installed; .ci/tools installs them".into(),
            );
        }
        let profile = tempfile::tempdir().map_err(|error| error.to_string())?;
        let at = SocketAddr::from(([127, 0, 0, 1], ports::free().unwrap()));
        let driver = Command::new("chromedriver")
            .arg(format!("--port={}", at.port()))
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pictures = binaries::dir().unwrap().join("../console-shots");
        std::fs::create_dir_all(&pictures).unwrap();
        let mut browser = Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            client: None,
            driver,
            at,
            session: String::new(),
            pictures,
            profile,
        };
        browser.open();
        Ok(browser)
    }

    fn open(&mut self) {
        within(START_TIMEOUT, || {
            match std::net::TcpStream::connect(self.at) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        })
        .unwrap();
        let profile = self.profile.path().display();
        let wanted: Value = json!({
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--lang=en",
                "--window-size=1280,900", format!("--user-data-dir={profile}"),
            ] },
        });
        let wanted: Capabilities = serde_json::from_value(wanted).unwrap();
        let opened = async {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            let client = builder
                .capabilities(wanted)
                .connect(&format!("http://{}", self.at))
                .await
                .unwrap();
            let session = client.session_id().await.unwrap().unwrap();
            (client, session)
        };
        let (client, session) = self.runtime.block_on(opened);
        (self.client, self.session) = (Some(client), session);
    }

    fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    pub(super) fn goto(&self, addr: SocketAddr, place: &str) {
        let url = format!("http://{addr}/{place}");
        self.runtime.block_on(self.client().goto(&url)).unwrap();
    }

    /// The value of an expression in the page.
    pub(super) fn js(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        self.runtime
            .block_on(self.client().execute(&script, Vec::new()))
            .unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Waits until the expression is true.
    pub(super) fn until(&self, expression: &str) {
        let waited = within(SHOWN_TIMEOUT, || match self.js(expression) {
            Value::Bool(true) => Ok(()),
            other => Err(format!("{expression} is {other}")),
        });
        if let Err(error) = waited {
            self.shot("failed");
            panic!("{error}; the page shows: {}", self.text("body"));
        }
    }

    /// Waits until an element shows a text.
    pub(super) fn shows(&self, css: &str, text: &str) {
        let (css, text) = (json!(css), json!(text));
        self.until(&format!(
            "[...document.querySelectorAll({css})].some((one) => one.textContent.includes({text}))"
        ));
    }

    pub(super) fn text(&self, css: &str) -> String {
        let css = json!(css);
        let text = self.js(&format!("document.querySelector({css})?.innerText ?? ''"));
        text.as_str().unwrap().to_owned()
    }

    pub(super) fn click(&self, css: &str) {
        self.until(&format!("document.querySelector({}) !== null", json!(css)));
        // The page may draw the element anew between the two.
        let clicked = within(SHOWN_TIMEOUT, || {
            let clicked = async {
                let element = self.client().find(Locator::Css(css)).await?;
                element.click().await
            };
            let clicked = self.runtime.block_on(clicked);
            clicked.map_err(|error| error.to_string())
        });
        clicked.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Types into a field, which is emptied first.
    pub(super) fn fill(&self, css: &str, text: &str) {
        let typed = within(SHOWN_TIMEOUT, || {
            let typed = async {
                let element = self.client().find(Locator::Css(css)).await?;
                element.clear().await?;
                element.send_keys(text).await
            };
            let typed = self.runtime.block_on(typed);
            typed.map_err(|error| error.to_string())
        });
        typed.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Presses keys one after another, wherever the focus is.
    pub(super) fn press(&self, keys: &str) {
        let mut actions = KeyActions::new("keys".to_owned());
        for value in keys.chars() {
            actions = actions
                .then(KeyAction::Down { value })
                .then(KeyAction::Up { value });
        }
        self.runtime
            .block_on(self.client().perform_actions(actions))
            .unwrap();
    }

    pub(super) fn back(&self) {
        self.runtime.block_on(self.client().back()).unwrap();
    }

    /// As large as this, as a phone if it is narrow: a window of the browser itself is never so narrow.
    pub(super) fn size(&self, width: u32, height: u32) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 }),
        );
    }

    /// What the system of the user prefers.
    pub(super) fn prefers(&self, feature: &str, value: &str) {
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": feature, "value": value }] }),
        );
    }

    fn devtools(&self, command: &str, params: Value) -> Value {
        let path = format!("/session/{}/goog/cdp/execute", self.session);
        done(
            self.at,
            "POST",
            &path,
            &json!({ "cmd": command, "params": params }),
        )
    }

    /// Keeps a picture of the page below target/console-shots.
    pub(super) fn shot(&self, name: &str) {
        let picture = self.runtime.block_on(self.client().screenshot()).unwrap();
        std::fs::write(self.pictures.join(format!("{name}.png")), picture).unwrap();
    }

    /// Fails if a script has failed, if the page has tried what its policy forbids, or if the page has asked another
    /// server for something.
    pub(super) fn has_no_faults(&self, node: &[SocketAddr]) {
        let path = format!("/session/{}/se/log", self.session);
        let (_, said) = ask(self.at, "POST", &path, &json!({ "type": "browser" }));
        for entry in said["value"].as_array().unwrap() {
            let message = entry["message"].as_str().unwrap();
            let is_expected = EXPECTED.iter().any(|known| message.contains(known));
            assert!(
                is_expected
                    || ["INFO", "DEBUG"]
                        .iter()
                        .any(|level| entry["level"] == *level),
                "the browser says: {entry}"
            );
        }
        let asked = self.js("performance.getEntriesByType('resource').map((entry) => entry.name)");
        for url in asked.as_array().unwrap() {
            let url = url.as_str().unwrap();
            let is_own = node
                .iter()
                .any(|addr| url.starts_with(&format!("http://{addr}/")));
            assert!(
                is_own || url.starts_with("data:"),
                "the page asks for {url}"
            );
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // Ends the browser, too.
            let _ = self.runtime.block_on(client.close());
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
