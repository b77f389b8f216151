//! Runs Alertmanager, and receives its notifications as the person on call would.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use fleet::{Process, free_port, program, wait_for};
use serde_json::Value;

/// A running Alertmanager. Dropping it stops the program.
#[derive(Debug)]
pub(crate) struct Alertmanager {
    _process: Process,
    /// The address of the web interface and the HTTP API.
    pub(crate) addr: SocketAddr,
    notifications: Receiver<Value>,
}

/// The name of the program in Debian's package of the same name.
pub(crate) const PROGRAM: &str = "prometheus-alertmanager";

impl Alertmanager {
    /// Starts Alertmanager. It sends the alerts with `severity="page"` to this program.
    ///
    /// # Errors
    ///
    /// Returns an error with Alertmanager's log if it does not start within 30 seconds.
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let (tell, notifications) = channel();
        let pager = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let pager_addr = pager.local_addr()?;
        let app = Router::new()
            .route("/page", post(notified))
            .with_state(tell);
        tokio::spawn(async move { axum::serve(pager, app).await });

        fs::create_dir_all(folder)?;
        fs::write(
            folder.join("alertmanager.yml"),
            format!(
                "route:\n\
                 \x20 receiver: nobody\n\
                 \x20 group_by: [job, slo, sli]\n\
                 \x20 group_wait: 100ms\n\
                 \x20 group_interval: 1s\n\
                 \x20 routes: [{{receiver: pager, matchers: ['severity=\"page\"']}}]\n\
                 receivers:\n\
                 - name: nobody\n\
                 - name: pager\n\
                 \x20 webhook_configs: [{{url: 'http://{pager_addr}/page', send_resolved: true}}]\n"
            ),
        )?;
        let addr = free_port()?;
        let log = folder.join("alertmanager.log");
        let process = Process::start(
            Command::new(program(PROGRAM)?)
                .current_dir(folder)
                .args(["--config.file=alertmanager.yml", "--storage.path=data"])
                .arg(format!("--web.listen-address={addr}"))
                // No cluster, and so no second port.
                .arg("--cluster.listen-address=")
                .arg("--log.level=warn")
                .stdout(Stdio::null())
                .stderr(File::create(&log)?),
            Duration::from_secs(5),
        )?;
        wait_for("Alertmanager", Duration::from_secs(30), || {
            if !process.is_running() {
                return Some(false);
            }
            let ready = ureq::get(&format!("http://{addr}/-/ready")).call();
            ready.is_ok().then_some(true)
        })
        .and_then(|(runs, _)| match runs {
            true => Ok(()),
            false => bail!("Alertmanager has exited"),
        })
        .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        Ok(Self {
            _process: process,
            addr,
            notifications,
        })
    }

    /// Waits for a notification with this status, `firing` or `resolved`. Returns its first
    /// alert and the time that it waited.
    ///
    /// # Errors
    ///
    /// Returns an error if the wait takes longer than `at_most`.
    pub(crate) fn wait_for_page(
        &self,
        status: &str,
        at_most: Duration,
    ) -> anyhow::Result<(Value, Duration)> {
        wait_for(&format!("a page that is {status}"), at_most, || {
            let mut received = self.notifications.try_iter();
            let page = received.find(|notification| notification["status"] == status)?;
            Some(page["alerts"][0].clone())
        })
    }

    /// Returns the alerts that are active in Alertmanager.
    ///
    /// # Errors
    ///
    /// Returns an error if Alertmanager does not answer.
    pub(crate) fn active(&self) -> anyhow::Result<Vec<Value>> {
        let url = format!("http://{}/api/v2/alerts?active=true", self.addr);
        let text = ureq::get(&url).call()?.body_mut().read_to_string()?;
        Ok(serde_json::from_str(&text)?)
    }
}

async fn notified(State(tell): State<Sender<Value>>, body: Bytes) {
    if let Ok(notification) = serde_json::from_slice(&body) {
        // Fails only if the program is about to exit.
        let _ = tell.send(notification);
    }
}
