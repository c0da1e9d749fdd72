//! Which files an option is for: a glob over the path below the root.
use globset::{GlobBuilder, GlobMatcher};

/// A glob: `*` is any part of a name, `?` a character of one, `**` any directories, `{a,b}` either, `[a-z]` one of.
///
/// Without a slash it is about the file's name in any directory (`*.css`); with one about the whole path, its first slash may be left out
/// (`/assets/**`, `assets/**`). A directory's index is matched by its own path.
///
/// ```
/// use ringwheel_fileserver::pattern::Pattern;
/// let pattern = Pattern::new("*.{css,js}")?;
/// assert!(pattern.matches(b"assets/app.js") && !pattern.matches(b"app.js.map"));
/// assert!(Pattern::new("/assets/**")?.matches(b"assets/a/b.png"));
/// assert!(!Pattern::new("/assets/*")?.matches(b"assets/a/b.png"));
/// assert!(Pattern::new("a[").is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pattern(GlobMatcher);

impl Pattern {
    /// Compiles a pattern of 1 to 1024 bytes.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn new(text: &str) -> Result<Pattern, String> {
        if text.is_empty() || text.len() > 1024 {
            return Err("a glob of 1 to 1024 bytes".to_owned());
        }
        let anywhere = !text.contains('/');
        let whole = if anywhere { format!("**/{text}") } else { text.trim_start_matches('/').to_owned() };
        GlobBuilder::new(&whole)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map(|glob| Pattern(glob.compile_matcher()))
            .map_err(|error| format!("a glob such as *.css or /assets/** ({})", error.kind()))
    }

    /// True when it is for the file of this path, which has no slash before it.
    pub fn matches(&self, path: &[u8]) -> bool {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        self.0.is_match(OsStr::from_bytes(path))
    }
}
