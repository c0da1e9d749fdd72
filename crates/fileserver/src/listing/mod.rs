//! Pipeline step 3d: what a directory without an index holds, as a page for people or as JSON.
//!
//! Read, sorted and written on the blocking pool, one listing a core at a time, however many ask: a directory of a million names holds no
//! connection up. What came out is kept for as long as files are trusted, and answers like a file: with a tag, conditions and ranges.
mod page;
mod read;

use crate::{
    cache::Bounded,
    core::{Core, is_out_of_descriptors},
    file::{Loaded, SmallFile, make_small},
    http::{coding::Coding, head::Description, parse, status::Status},
    site::Site,
};
use ringwheel_executor::{spawn_blocking, sync::Semaphore, time};
use std::{cell::RefCell, io, rc::Rc, time::Instant};

/// The most names of one listing: those that come first.
const NAMES_MAX: usize = 10_000;

/// Bytes of listings that a core keeps.
const KEPT_BYTES: usize = 8 << 20;

/// What a client wants to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    format: Format,
    sort: Sort,
    descending: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    #[default]
    Html,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sort {
    #[default]
    Name,
    Size,
    Time,
}

impl View {
    /// From `?sort=name|size|time&order=asc|desc&format=html|json`, else from Accept, which is looked for in the head only here: no other
    /// answer depends on it.
    pub(crate) fn of(head: &[u8], query: Option<&[u8]>) -> View {
        let mut view = View::default();
        let mut format = None;
        for pair in query.unwrap_or_default().split(|&byte| byte == b'&') {
            match pair {
                b"sort=name" => view.sort = Sort::Name,
                b"sort=size" => view.sort = Sort::Size,
                b"sort=time" => view.sort = Sort::Time,
                b"order=asc" => view.descending = false,
                b"order=desc" => view.descending = true,
                b"format=html" => format = Some(Format::Html),
                b"format=json" => format = Some(Format::Json),
                _ => {}
            }
        }
        view.format = format.unwrap_or_else(|| if wants_json(head) { Format::Json } else { Format::Html });
        view
    }

    fn code(self) -> u8 {
        self.format as u8 | (self.sort as u8) << 1 | u8::from(self.descending) << 3
    }
}

/// True for a client that asks for JSON and not for HTML: browsers ask for HTML among others, tools for what they can read.
fn wants_json(head: &[u8]) -> bool {
    let (mut json, mut html) = (false, false);
    for range in parse::values_of(head, b"accept:").flat_map(|value| value.split(|&byte| byte == b',')) {
        let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let essence = parts.next().unwrap_or_default();
        let refused = parts.any(|parameter| {
            let (name, value) = parameter.split_at(parameter.len().min(2));
            name.eq_ignore_ascii_case(b"q=") && value.iter().all(|byte| matches!(byte, b'0' | b'.'))
        });
        json |= !refused && essence.eq_ignore_ascii_case(b"application/json");
        html |= !refused && essence.eq_ignore_ascii_case(b"text/html");
    }
    json && !html
}

/// A listing that was made.
#[derive(Debug)]
struct Kept {
    file: Rc<SmallFile>,
    ready: Rc<[u8]>,
    made: Instant,
}

/// The listings of a core.
#[derive(Debug)]
pub(crate) struct Listings {
    kept: RefCell<Bounded<Kept>>,
    turn: Semaphore,
}

impl Default for Listings {
    fn default() -> Listings {
        Listings { kept: RefCell::new(Bounded::new(KEPT_BYTES)), turn: Semaphore::new(1) }
    }
}

impl Listings {
    /// Lets go of what is kept, and keeps nothing more.
    pub(crate) fn close(&self) {
        self.kept.replace(Bounded::new(0));
    }

    fn look_up(&self, core: &Core, key: &[u8]) -> Option<Loaded> {
        let mut kept = self.kept.borrow_mut();
        let listing = kept.get(key)?;
        let age = time::now().saturating_duration_since(listing.made);
        (age < core.revalidate).then(|| Loaded::Small(Rc::clone(&listing.file), Rc::clone(&listing.ready)))
    }
}

/// The listing under a key that ends with a slash; 404 where there is no such directory.
pub(crate) async fn load(core: &Rc<Core>, site: &Site, key: &[u8], view: View) -> Loaded {
    let number = [key, &[view.code()]].concat();
    if let Some(kept) = core.listings.look_up(core, &number) {
        return kept;
    }
    let Ok(_turn) = core.listings.turn.acquire(1).await else {
        return Loaded::Failed(Status::ServiceUnavailable);
    };
    // Whoever had the turn before may have made it.
    if let Some(kept) = core.listings.look_up(core, &number) {
        return kept;
    }
    match make(core, site, &key[site.prefix.len()..], view).await {
        Ok(Some((file, ready))) => {
            let cost = ready.len() + number.len();
            let kept = Kept { file: Rc::clone(&file), ready: Rc::clone(&ready), made: time::now() };
            core.listings.kept.borrow_mut().insert(&number, kept, cost);
            Loaded::Small(file, ready)
        }
        Ok(None) => Loaded::Failed(Status::NotFound),
        Err(error) => Loaded::Failed(match error.kind() {
            io::ErrorKind::PermissionDenied => Status::Forbidden,
            _ if is_out_of_descriptors(&error) => Status::ServiceUnavailable,
            _ => Status::InternalServerError,
        }),
    }
}

async fn make(
    core: &Core,
    site: &Site,
    path: &[u8],
    view: View,
) -> io::Result<Option<(Rc<SmallFile>, Rc<[u8]>)>> {
    let order = read::Order::of(site, &path[1..])?;
    let path = path.to_vec();
    let relative = path[1..].to_vec();
    let body = spawn_blocking(move || {
        let Some(mut contents) = order.read(NAMES_MAX)? else { return Ok(None) };
        contents.sort(view);
        Ok::<_, io::Error>(Some(match view.format {
            Format::Html => page::html(&path, &contents, view),
            Format::Json => page::json(&path, &contents),
        }))
    })
    .await??;
    let Some(body) = body else { return Ok(None) };
    let mut shelf = core.shelf.borrow_mut();
    shelf.clock.advance(time::now());
    let description = describe(site, &relative, &body, view.format);
    Ok(Some(make_small(description, &body, &shelf.clock, &site.lines)))
}

fn describe(site: &Site, relative: &[u8], body: &[u8], format: Format) -> Description {
    let mut lines = b"Vary: Accept\r\n".to_vec();
    if format == Format::Html {
        lines.extend_from_slice(page::POLICY);
    }
    lines.extend_from_slice(&site.about(relative).lines);
    Description {
        size: body.len() as u64,
        etag: format!("\"{:032x}\"", xxhash_rust::xxh3::xxh3_128(body)),
        // A directory's own time says nothing of what its files are like.
        modified: i64::MAX,
        modified_text: None,
        fresh: false,
        content_type: match format {
            Format::Html => "text/html; charset=utf-8".to_owned(),
            Format::Json => "application/json".to_owned(),
        },
        coding: Coding::Identity,
        varies: false,
        cache_control: site.cache_control_or(relative, "no-cache"),
        lines,
        part: site.part_of(relative),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
