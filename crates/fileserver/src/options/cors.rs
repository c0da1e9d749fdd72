//! Who may read the answers from other origins (Cross-Origin Resource Sharing, the Fetch standard's section 3.2).
use super::{Invalid, within, wrong};
use crate::http::head::{field, is_token};
use serde::{Deserialize, Serialize};

/// What scripts of other origins may do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CorsOptions {
    /// Origins as browsers send them, such as `https://app.example`, at most 100. Default none: everybody.
    pub origins: Vec<String>,
    /// Request fields that a preflight allows, at most 64. Default `*`: all but Authorization.
    pub headers: Vec<String>,
    /// Response fields that scripts may read beside the usual ones, at most 64. Default what a client of ranges needs: `Accept-Ranges`,
    /// `Content-Encoding`, `Content-Range`, `ETag`.
    pub exposed: Vec<String>,
    /// Requests with cookies or a password are allowed, too. Only beside `origins` and `headers`. Default false.
    pub credentials: bool,
    /// Seconds for which browsers remember a preflight, up to a day. Default none: 5 s in most of them.
    pub max_age: Option<u64>,
}

impl Default for CorsOptions {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        CorsOptions {
            origins: Vec::new(),
            headers: list(&["*"]),
            exposed: list(&["Accept-Ranges", "Content-Encoding", "Content-Range", "ETag"]),
            credentials: false,
            max_age: None,
        }
    }
}

impl CorsOptions {
    /// The lines of every answer to an origin that is allowed: to `*` everybody is.
    pub(crate) fn lines(&self, origin: &str) -> Vec<u8> {
        let mut lines = Vec::new();
        field(&mut lines, "Access-Control-Allow-Origin", origin.as_bytes());
        if self.credentials {
            field(&mut lines, "Access-Control-Allow-Credentials", b"true");
        }
        if !self.exposed.is_empty() {
            field(&mut lines, "Access-Control-Expose-Headers", self.exposed.join(", ").as_bytes());
        }
        lines
    }

    /// The fields of the answer to a preflight.
    pub(crate) fn preflight(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut fields = vec![("Access-Control-Allow-Methods", b"GET, HEAD".to_vec())];
        if !self.headers.is_empty() {
            fields.push(("Access-Control-Allow-Headers", self.headers.join(", ").into_bytes()));
        }
        if let Some(seconds) = self.max_age {
            fields.push(("Access-Control-Max-Age", seconds.to_string().into_bytes()));
        }
        fields
    }

    pub(super) fn validate(&self) -> Result<(), Invalid> {
        within("cors.origins (length of the list)", self.origins.len(), 0, 100)?;
        for origin in &self.origins {
            if !is_origin(origin) {
                let allowed =
                    "origins as browsers send them, such as https://app.example or http://localhost:3000";
                return Err(wrong("cors.origins", format!("{origin:?}"), allowed));
            }
        }
        for (name, list) in [("cors.headers", &self.headers), ("cors.exposed", &self.exposed)] {
            let fits = |field: &String| (1..=256).contains(&field.len()) && field.bytes().all(is_token);
            if list.len() > 64 || !list.iter().all(fits) {
                return Err(wrong(name, format!("{list:?}"), "at most 64 field names, or *"));
            }
        }
        within("cors.max_age", self.max_age.unwrap_or(0), 0, 86_400)?;
        if self.credentials && (self.origins.is_empty() || self.headers.iter().any(|name| name == "*")) {
            let allowed =
                "origins and headers named one by one beside it: * does not stand for them with credentials";
            return Err(wrong("cors.credentials", "true", allowed));
        }
        Ok(())
    }
}

/// Scheme, host and perhaps a port, in lower case; `null`, which many are, is none.
fn is_origin(text: &str) -> bool {
    let host = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte);
    let scheme = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    text.len() <= 512
        && text.split_once("://").is_some_and(|(before, after)| {
            !before.is_empty() && before.bytes().all(scheme) && !after.is_empty() && after.bytes().all(host)
        })
}
