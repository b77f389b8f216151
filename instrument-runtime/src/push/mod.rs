//! Pushes the page to a Prometheus Pushgateway: at an interval, and once more
//! when the exporter stops.

mod gateway;
mod group;
mod request;

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::error::{InitError, PushError};
use crate::page::panics::{self, Panicked};
use crate::page::{Page, pushes};
use crate::push::gateway::Gateway;
use crate::stop::stopped;

/// Prometheus scrapes as often in the configuration that it comes with.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);

/// What the builder was told; nothing of it is checked.
#[derive(Clone)]
pub(crate) struct PushSettings {
    pub(crate) url: Option<String>,
    pub(crate) interval: Duration,
    pub(crate) job: Option<String>,
    pub(crate) group: Vec<(String, String)>,
}

impl Default for PushSettings {
    fn default() -> Self {
        Self {
            url: None,
            interval: DEFAULT_INTERVAL,
            job: None,
            group: Vec::new(),
        }
    }
}

impl fmt::Debug for PushSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushSettings")
            .field("url", &self.url.as_deref().map(gateway::without_password))
            .field("interval", &self.interval)
            .field("job", &self.job)
            .field("group", &self.group)
            .finish()
    }
}

impl PushSettings {
    /// `reserved` tells what is wrong with the name of a label that the gateway
    /// is to set. Checked also where no URL is set: in one environment of many.
    pub(crate) fn check(
        self,
        app_name: &str,
        reserved: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<Option<Push>, InitError> {
        let refuse = |setting: String, problem: &str| {
            Err(InitError::Push {
                setting,
                problem: problem.to_owned(),
            })
        };
        let Self {
            url,
            interval,
            job,
            group,
        } = self;
        if interval.is_zero() {
            return refuse(
                format!(".push_interval({interval:?})"),
                "leaves no time between two pushes; give a second or more",
            );
        }
        if job.as_deref() == Some("") {
            return refuse(
                ".push_job(\"\")".to_owned(),
                "is no name, and the gateway asks for one",
            );
        }
        for (index, (name, value)) in group.iter().enumerate() {
            let problem = if name == "job" {
                Some("is the job itself; set it with `.push_job(…)`")
            } else if group[..index].iter().any(|(other, _)| other == name) {
                Some("is given twice; leave one out")
            } else {
                reserved(name)
            };
            if let Some(problem) = problem {
                return refuse(format!(".push_group({name:?}, {value:?})"), problem);
            }
        }
        let Some(url) = url else {
            return Ok(None);
        };
        let gateway = match Gateway::parse(&url) {
            Ok(gateway) => gateway,
            Err(problem) => {
                let shown = gateway::without_password(&url);
                return refuse(format!(".push({shown:?})"), problem);
            }
        };
        let job = job.as_deref().unwrap_or(app_name);
        if job.is_empty() {
            return refuse(
                format!(".push({:?})", gateway::without_password(&url)),
                "has no job to push for, as the application's name is empty; set one with \
                 `.push_job(…)`",
            );
        }
        Ok(Some(Push {
            path: group::path(job, &group),
            gateway,
            interval,
        }))
    }
}

/// What to push where, checked.
#[derive(Debug)]
pub(crate) struct Push {
    gateway: Gateway,
    path: String,
    interval: Duration,
}

/// Tells the exporter's thread that the installation has taken effect. Dropping it
/// says that there is nothing to push.
#[derive(Debug)]
pub(crate) struct Begin(oneshot::Sender<Push>);

/// The end of [`Begin`] on the exporter's thread.
#[derive(Debug)]
pub(crate) struct Installed(oneshot::Receiver<Push>);

pub(crate) fn channel() -> (Begin, Installed) {
    let (begin, installed) = oneshot::channel();
    (Begin(begin), Installed(installed))
}

impl Begin {
    /// Called once the installation has taken effect.
    pub(crate) fn begin(self, push: Option<Push>) {
        if let Some(push) = push {
            pushes::begin();
            // The thread has started, and waits for this.
            let _ = self.0.send(push);
        }
    }
}

/// Pushes once the installation stands, until `stop` changes and once more.
/// Without an installation there is nothing to push.
pub(crate) async fn run(installed: Installed, page: Page, stop: watch::Receiver<bool>) {
    let Ok(push) = installed.0.await else {
        return;
    };
    let mut stopped = pin!(stopped(stop));
    // One after the other: a gateway that is slow meets no more of them.
    while timeout(push.interval, stopped.as_mut()).await.is_err() {
        push.once(&page).await;
    }
    push.once(&page).await;
}

impl Push {
    async fn once(&self, page: &Page) {
        let outcome = match panics::caught(|| page.render()) {
            Ok(page) => request::put(&self.gateway, &self.path, page).await,
            Err(Panicked) => Err(PushError::new(
                format!("{}{}", self.gateway, self.path),
                "a panic kept the page from being made",
                None,
            )),
        };
        pushes::count(outcome);
    }
}
