//! Includes the files of the runtime's `recorder` that the models need.

#[path = "../../instrument-runtime/src/recorder/exemplars.rs"]
mod exemplars;
#[path = "../../instrument-runtime/src/recorder/family.rs"]
mod family;
#[path = "../../instrument-runtime/src/recorder/gauge.rs"]
mod gauge;
#[path = "../../instrument-runtime/src/recorder/histogram.rs"]
mod histogram;
#[path = "../../instrument-runtime/src/recorder/label_text.rs"]
mod label_text;
#[path = "../../instrument-runtime/src/recorder/labels.rs"]
mod labels;
#[path = "recorder_models.rs"]
pub(crate) mod models;
#[path = "../../instrument-runtime/src/recorder/native.rs"]
mod native;
#[path = "../../instrument-runtime/src/recorder/number.rs"]
mod number;
#[path = "../../instrument-runtime/src/recorder/oldest.rs"]
mod oldest;
#[path = "../../instrument-runtime/src/recorder/point.rs"]
mod point;
#[path = "../../instrument-runtime/src/recorder/registry.rs"]
mod registry;
#[path = "../../instrument-runtime/src/recorder/shards.rs"]
mod shards;
#[path = "../../instrument-runtime/src/recorder/threads.rs"]
mod threads;
