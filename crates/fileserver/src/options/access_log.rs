//! Where each answer is written down, and how.
use super::{Invalid, within};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One line an answer, written by a thread of its own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AccessLogOptions {
    /// A file that lines are appended to, made with mode 0o640; a FIFO that somebody reads, or a character device. `None`: standard output.
    pub file: Option<PathBuf>,
    /// Default [`AccessLogFormat::Combined`].
    pub format: AccessLogFormat,
    /// Bytes of lines that wait for the writer on each core, `64 KiB..=64 MiB`. Default 1 MiB. Beyond: dropped and counted.
    pub buffer_bytes: usize,
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum AccessLogFormat {
    /// `client - user [time] "request line" status bytes`
    Common,
    /// The same with `"referer" "user agent"`. Default.
    #[default]
    Combined,
    /// An object, with milliseconds in the time, the host, and how long the answer took.
    Json,
}

impl Default for AccessLogOptions {
    fn default() -> Self {
        AccessLogOptions { file: None, format: AccessLogFormat::default(), buffer_bytes: 1 << 20 }
    }
}

impl AccessLogOptions {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        within("accessLog.buffer_bytes", self.buffer_bytes, 64 << 10, 64 << 20)
    }
}
