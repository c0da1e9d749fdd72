//! What is packed on the fly, and how.
use super::{Invalid, within, wrong};
use crate::{
    compress::Method,
    http::coding::{Coding, Codings},
};
use serde::{Deserialize, Serialize};

/// Compression on the fly, of files whose media type is text or like it (see [`crate::http::mime::is_compressible`]), unless their
/// Cache-Control has `no-transform`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CompressOptions {
    /// Brotli's quality, `0..=11`; `None` turns it off. Default 5.
    pub brotli: Option<u8>,
    /// gzip's level, `1..=9`; `None` turns it off. Default 6.
    pub gzip: Option<u8>,
    /// Smaller files are sent as they are. Default 1024.
    pub min_bytes: u64,
    /// Larger files are sent as they are, at most 16 MiB. Default 4 MiB.
    pub max_bytes: u64,
}

impl Default for CompressOptions {
    fn default() -> Self {
        CompressOptions { brotli: Some(5), gzip: Some(6), min_bytes: 1024, max_bytes: 4 << 20 }
    }
}

impl CompressOptions {
    /// Those that are on.
    pub(crate) fn codings(&self) -> Codings {
        [(self.brotli, Coding::Brotli), (self.gzip, Coding::Gzip)]
            .into_iter()
            .filter(|(level, _)| level.is_some())
            .fold(Codings::NONE, |set, (_, coding)| set.with(coding))
    }

    /// How a coding is made, if it is on.
    pub(crate) fn method(&self, coding: Coding) -> Option<Method> {
        let level = match coding {
            Coding::Brotli => self.brotli,
            Coding::Gzip => self.gzip,
            Coding::Identity | Coding::Zstd => None,
        };
        level.map(|level| Method { coding, level })
    }

    pub(super) fn validate(&self) -> Result<(), Invalid> {
        within("compress.brotli", self.brotli.unwrap_or(0), 0, 11)?;
        within("compress.gzip", self.gzip.unwrap_or(1), 1, 9)?;
        within("compress.max_bytes", self.max_bytes, 0, 16 << 20)?;
        within("compress.min_bytes", self.min_bytes, 0, self.max_bytes)?;
        if self.codings().is_empty() {
            return Err(wrong("compress", "given, and neither brotli nor gzip", "one of them, or both"));
        }
        Ok(())
    }
}
