//! Pushes the page to a Prometheus Pushgateway: at an interval, and once more when the
//! exporter stops.
//!
//! | file         | contents                                                 |
//! |--------------|----------------------------------------------------------|
//! | `mod.rs`     | the settings, their validation, and the loop that pushes |
//! | `gateway.rs` | parses the gateway's URL                                 |
//! | `group.rs`   | builds the path of a group                               |
//! | `request.rs` | sends one push over HTTP                                 |
//! | `off.rs`     | stands in for this module without the feature `push`     |

mod gateway;
mod group;
mod request;

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::diagnostics::Message;
use crate::error::{InitError, PushError};
use crate::page::panics::{self, Panicked};
use crate::page::{Page, pushes};
use crate::push::gateway::Gateway;
use crate::stop::stopped;
use crate::url::without_password;

/// The default pause between two pushes: the scrape interval in Prometheus's example
/// configuration.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);

/// Written if a push fails and another one will follow.
static FAILED: Message = Message::new();
/// Written if the last push fails.
static LOST: Message = Message::new();

/// The push settings of the builder, before validation.
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
            .field("url", &self.url.as_deref().map(without_password))
            .field("interval", &self.interval)
            .field("job", &self.job)
            .field("group", &self.group)
            .finish()
    }
}

impl PushSettings {
    /// Validates the settings. Returns `None` if no URL is set.
    ///
    /// `reserved` returns the reason if a label of this name must not be in the group. The
    /// other settings are checked even without a URL: an application may set the URL only
    /// in some environments, and a mistake should be reported in every environment.
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
                "is zero; set the interval to a second or more",
            );
        }
        if job.as_deref() == Some("") {
            return refuse(
                ".push_job(\"\")".to_owned(),
                "is empty, but the gateway requires a job name; set a name",
            );
        }
        for (index, (name, value)) in group.iter().enumerate() {
            let problem = if name == "job" {
                Some("is the label of the job; set it with `.push_job(…)`")
            } else if group[..index].iter().any(|(other, _)| other == name) {
                Some("is given twice; remove one of them")
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
                let shown = without_password(&url);
                return refuse(format!(".push({shown:?})"), problem);
            }
        };
        let job = job.as_deref().unwrap_or(app_name);
        if job.is_empty() {
            return refuse(
                format!(".push({:?})", without_password(&url)),
                "has no job name, because the application's name is empty; set one with \
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

/// Validated settings: where to push, and how often.
#[derive(Debug)]
pub(crate) struct Push {
    gateway: Gateway,
    path: String,
    interval: Duration,
}

/// Signals to the exporter's thread that the installation has taken effect. If it is
/// dropped instead, the thread pushes nothing.
#[derive(Debug)]
pub(crate) struct Begin(oneshot::Sender<Push>);

/// The receiver of [`Begin`]'s signal, on the exporter's thread.
#[derive(Debug)]
pub(crate) struct Installed(oneshot::Receiver<Push>);

pub(crate) fn channel() -> (Begin, Installed) {
    let (begin, installed) = oneshot::channel();
    (Begin(begin), Installed(installed))
}

impl Begin {
    /// Starts pushing. Called after the installation has taken effect.
    pub(crate) fn begin(self, push: Option<Push>) {
        if let Some(push) = push {
            pushes::begin();
            // The exporter's thread holds the receiver, so sending cannot fail.
            let _ = self.0.send(push);
        }
    }
}

/// Pushes until `stop` becomes `true`, with a pause of one interval before each push. Then
/// pushes once more.
///
/// Waits for [`Begin`]'s signal first. Returns without a push if `Begin` was dropped.
pub(crate) async fn run(installed: Installed, page: Page, stop: watch::Receiver<bool>) {
    let Ok(push) = installed.0.await else {
        return;
    };
    let mut stopped = pin!(stopped(stop));
    // Pushes run one after the other, so that a slow gateway never has several at once.
    while timeout(push.interval, stopped.as_mut()).await.is_err() {
        if let Err(error) = push.once(&page).await {
            FAILED.write(format_args!(
                "{error}. The next push has all counts. This message is written once per process"
            ));
        }
    }
    if let Err(error) = push.once(&page).await {
        LOST.write(format_args!(
            "{error}. It was the last push, so what was counted since the push before is lost"
        ));
    }
}

impl Push {
    /// Pushes the page, and counts the push.
    async fn once(&self, page: &Page) -> Result<(), PushError> {
        let outcome = match panics::caught(|| page.render()) {
            Ok(page) => request::put(&self.gateway, &self.path, page).await,
            Err(Panicked) => Err(PushError::new(
                format!("{}{}", self.gateway, self.path),
                "rendering the page panicked",
                None,
            )),
        };
        pushes::count(&outcome);
        outcome
    }
}
