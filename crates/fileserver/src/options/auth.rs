//! Who may see a part of a site.
use super::{Invalid, within, wrong};
use crate::auth::htpasswd;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// A part of a site that asks for a name and a password (RFC 7617).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AuthOptions {
    /// Directories, by the paths of requests, with a slash at both ends, such as `/admin/`; 1 to 64. Of several that a path lies below, of all
    /// parts, the longest counts. Default `/`: all of the site.
    pub paths: Vec<String>,
    /// What browsers show, up to 256 printable ASCII characters but `"` and `\`. Default `Restricted`.
    pub realm: String,
    /// Names and their passwords, hashed with bcrypt as `htpasswd -nB NAME` prints them; at most 10,000.
    pub users: BTreeMap<String, String>,
    /// A file of more of them, as htpasswd(1) writes it with -B.
    pub file: Option<PathBuf>,
}

impl Default for AuthOptions {
    fn default() -> Self {
        AuthOptions {
            paths: vec!["/".to_owned()],
            realm: "Restricted".to_owned(),
            users: BTreeMap::new(),
            file: None,
        }
    }
}

impl AuthOptions {
    pub(super) fn validate(&self, index: usize) -> Result<(), Invalid> {
        let name = |part: &str| format!("basicAuth[{index}].{part}");
        within("basicAuth.paths (length of the list)", self.paths.len(), 1, 64)?;
        for path in &self.paths {
            let inner = path.trim_matches('/');
            let segments = inner.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
            let fits =
                path == "/" || (*path == format!("/{inner}/") && segments && !inner.contains(['\\', '\0']));
            if !fits {
                let allowed = "directories such as \"/admin/\", with a slash at both ends";
                return Err(wrong(name("paths"), format!("{path:?}"), allowed));
            }
        }
        let shown = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
        if self.realm.is_empty() || self.realm.len() > 256 || !self.realm.bytes().all(shown) {
            let allowed = "1 to 256 printable ASCII characters without \" and \\";
            return Err(wrong(name("realm"), format!("{:?}", self.realm), allowed));
        }
        if self.users.is_empty() && self.file.is_none() {
            return Err(wrong(
                format!("basicAuth[{index}]"),
                "without users",
                "users, or the file of an htpasswd, beside it",
            ));
        }
        within("basicAuth.users (number of names)", self.users.len(), 0, htpasswd::USERS_MAX)?;
        for (user, hash) in &self.users {
            // The hash is not shown: it is nobody's business who reads a log of errors.
            if let Err(reason) = htpasswd::check(user.as_bytes(), hash) {
                return Err(wrong(
                    name("users"),
                    format!("an entry {user:?} that {reason}"),
                    "names with hashes as `htpasswd -nB NAME` prints them",
                ));
            }
        }
        Ok(())
    }
}
