//! [`Browser`]: headless Chromium, driven over WebDriver.

use std::process::{Command, Stdio};
use std::time::Duration;

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use instrument_tests::program::{Program, is_installed};
use instrument_tests::{DEADLINE, wait_for};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A window of Chromium. Dropping it ends the browser.
#[derive(Debug)]
pub struct Browser {
    client: Option<Client>,
    runtime: Runtime,
    _driver: Program,
}

impl Browser {
    /// Starts a browser with a window of this size, or returns `None` if Chromium is not
    /// installed.
    ///
    /// # Panics
    ///
    /// Panics if the browser cannot be started, and in CI if it is not installed.
    #[must_use]
    pub fn start(width: u32, height: u32) -> Option<Self> {
        if !is_installed("chromium") || !is_installed("chromedriver") {
            return None;
        }
        let mut driver = Program::start(
            Command::new("chromedriver")
                .arg("--port=0")
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        );
        let mut lines = driver.lines();
        let port = lines
            .find_map(|line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                port.trim_end_matches('.').parse::<u16>().ok()
            })
            .expect("chromedriver says its port");
        // The pipe must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        let mut args = vec![
            "--headless=new".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--window-size={width},{height}"),
        ];
        if is_root() {
            // Chromium's sandbox does not work for root, for example in a container.
            args.push("--no-sandbox".to_owned());
        }
        let capabilities = json!({
            "goog:chromeOptions": { "args": args },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let client = runtime.block_on(
            ClientBuilder::new(HttpConnector::new())
                .capabilities(capabilities.as_object().expect("an object").clone())
                .connect(&format!("http://127.0.0.1:{port}")),
        );
        let browser = Self {
            client: Some(client.expect("a session")),
            runtime,
            _driver: driver,
        };
        // The size of the page, whatever the window's frame takes.
        browser.resize(width, height);
        Some(browser)
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("is open until it is dropped")
    }

    /// Opens a page.
    ///
    /// # Panics
    ///
    /// Panics if the page cannot be loaded.
    pub fn open(&self, url: &str) {
        let opened = self.runtime.block_on(self.client().goto(url));
        opened.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Runs the body of a JavaScript function in the page and returns its result.
    ///
    /// # Panics
    ///
    /// Panics if the script throws.
    #[must_use]
    pub fn run(&self, script: &str) -> Value {
        let ran = self.runtime.block_on(self.client().execute(script, vec![]));
        ran.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Runs a script until its result is `true`.
    ///
    /// # Panics
    ///
    /// Panics if that does not happen in time.
    pub fn wait_for(&self, condition: &str) {
        wait_for(condition, || {
            let holds = self.run(&format!("return Boolean({condition})"));
            (holds == true).then_some(())
        });
    }

    /// Returns the text of an element, as a person sees it, with plain spaces.
    ///
    /// # Panics
    ///
    /// Panics if there is no such element.
    #[must_use]
    pub fn text(&self, selector: &str) -> String {
        let text = self.run(&format!(
            "return document.querySelector({selector:?}).innerText"
        ));
        text.as_str().expect("a text").replace('\u{202f}', " ")
    }

    /// Clicks on an element like a person, with the pointer.
    ///
    /// # Panics
    ///
    /// Panics if there is no such element, or if something covers it.
    pub fn click(&self, selector: &str) {
        let client = self.client();
        let clicked = self.runtime.block_on(async {
            let element = client.find(fantoccini::Locator::Css(selector)).await?;
            element.click().await
        });
        clicked.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Types on the keyboard, wherever the focus is.
    ///
    /// # Panics
    ///
    /// Panics if the browser fails.
    pub fn press(&self, keys: &str) {
        let client = self.client();
        let pressed = self.runtime.block_on(async {
            let focused = client.active_element().await?;
            focused.send_keys(keys).await
        });
        pressed.unwrap_or_else(|error| panic!("{keys}: {error}"));
    }

    /// Sends a command of the Chrome DevTools Protocol.
    ///
    /// # Panics
    ///
    /// Panics if the browser refuses the command.
    pub fn devtools(&self, command: &str, parameters: Value) {
        let body = json!({ "cmd": command, "params": parameters });
        self.issue("goog/cdp/execute", body);
    }

    /// Sets the size of the page.
    pub fn resize(&self, width: u32, height: u32) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        );
    }

    /// Switches between light and dark.
    pub fn prefer(&self, color_scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": color_scheme });
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": [feature] }),
        );
    }

    /// Returns what the browser has written to its console since the last call: errors,
    /// warnings, and violations of the `Content-Security-Policy`.
    ///
    /// # Panics
    ///
    /// Panics if the browser fails.
    #[must_use]
    pub fn console(&self) -> Vec<String> {
        let log = self.issue("se/log", json!({ "type": "browser" }));
        let entries = log.as_array().expect("entries");
        let messages = entries.iter().map(|entry| entry["message"].to_string());
        messages.collect()
    }

    /// Returns a picture of the page, in the format PNG.
    ///
    /// # Panics
    ///
    /// Panics if the browser fails.
    #[must_use]
    pub fn screenshot(&self) -> Vec<u8> {
        let picture = self.runtime.block_on(self.client().screenshot());
        picture.expect("a picture")
    }

    fn issue(&self, path: &'static str, body: Value) -> Value {
        let command = Post { path, body };
        let answer = self.runtime.block_on(self.client().issue_cmd(command));
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // Without this, the browser would outlive its driver.
            let _ = self.runtime.block_on(async {
                tokio::time::timeout(DEADLINE.min(Duration::from_secs(10)), client.close()).await
            });
        }
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.starts_with(b"0\n"))
}

/// A command of chromedriver that WebDriver does not have.
#[derive(Debug)]
struct Post {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Post {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/{}", self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
