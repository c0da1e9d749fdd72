//! A source file, and its code without comments and strings.

/// One file of the tree.
pub struct Source {
    /// From the root, with `/`.
    pub path: String,
    /// Everything in it.
    pub text: String,
}

/// Rust and the JavaScript family.
pub fn is_source(path: &str) -> bool {
    [".rs", ".ts", ".mts", ".cts", ".mjs", ".cjs"].iter().any(|end| path.ends_with(end))
}

/// Rust code with every comment, string and character replaced by spaces; lines stay where they are.
pub fn bare_code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut bare = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if text[at..].starts_with("//") => at + text[at..].find('\n').unwrap_or(bytes.len() - at),
            b'/' if text[at..].starts_with("/*") => end_of_block_comment(text, at),
            b'"' => end_of_string(bytes, at),
            b'r' if !follows_a_word(bytes, at) => end_of_raw_string(text, at),
            b'\'' => end_of_character(text, at),
            _ => at,
        };
        if end == at {
            let character = text[at..].chars().next().unwrap_or(' ');
            bare.push(character);
            at += character.len_utf8();
        } else {
            bare.extend(text[at..end].chars().map(|character| if character == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    bare
}

/// True when the byte belongs to a longer word. `b"…"` and `c"…"` need no rule: their letter stays, their string goes.
fn follows_a_word(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| bytes[before]);
    before.is_some_and(|byte| byte.is_ascii_alphanumeric() && byte != b'b' && byte != b'c' || byte == b'_')
}

fn end_of_block_comment(text: &str, start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if bytes[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The end of `r"…"` or `r#"…"#`; the start itself when it is none.
fn end_of_raw_string(text: &str, start: usize) -> usize {
    let hashes = text[start + 1..].bytes().take_while(|byte| *byte == b'#').count();
    let open = start + 1 + hashes;
    if text.as_bytes().get(open) != Some(&b'"') {
        return start;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    text[open + 1..].find(&close).map_or(text.len(), |length| open + 1 + length + close.len())
}

/// The end of a character; the start itself when the quote begins a lifetime.
fn end_of_character(text: &str, start: usize) -> usize {
    let rest = &text[start + 1..];
    if let Some(escaped) = rest.strip_prefix('\\') {
        let skip = escaped.chars().next().map_or(0, char::len_utf8);
        return escaped[skip..].find('\'').map_or(text.len(), |length| start + 2 + skip + length + 1);
    }
    let width = rest.chars().next().map_or(0, char::len_utf8);
    if rest[width..].starts_with('\'') { start + 1 + width + 1 } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        let text = r####"let a = "unsafe \" unsafe"; // unsafe
/* unsafe /* unsafe */ unsafe */ fn b<'a>(c: &'a str) -> char { '"' }
let d = r#"unsafe " unsafe"#; let e = '\''; let f = b"unsafe"; let g = '\u{41}';
real unsafe"####;
        let bare = bare_code(text);
        assert_eq!(bare.matches("unsafe").count(), 1);
        assert!(bare.ends_with("real unsafe"));
        assert!(bare.contains("fn b<'a>(c: &'a str) -> char {"));
        assert_eq!(bare.lines().count(), text.lines().count());
    }

    #[test]
    fn broken_files_do_not_break_it() {
        for text in ["\"", "'", "r#\"", "/*", "'\\", "é'é'\"é", "r", "\"\\"] {
            bare_code(text);
        }
    }
}
