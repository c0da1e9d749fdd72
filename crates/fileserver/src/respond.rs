//! Pipeline steps 2 to 5: received bytes to the outbox, without waiting for anything. What must be waited for is handed back.
use crate::{
    auth::{Attempt, Credentials, Outcome, Verdict},
    body::{Body, Bytes},
    cache::Bounded,
    connection::Connection,
    core::{Core, Shelf},
    file::{Entry, Loaded},
    http::{
        answer::{self, Content, Context},
        coding::Preference,
        date::DATE_BYTES,
        head::{FixedLines, Persistence},
        page::{self, Page},
        parse::{self, Method, Parsed, Request},
        range::ByteRange,
        status::Status,
    },
    listing::View,
    load::{self, Check},
    options::Dotfiles,
    outbox::TOGETHER_MAX,
    route::{self, Look, Refused, Routed},
    site::Site,
    target::{self, Refusal},
};
use ringwheel_executor::time;
use std::{rc::Rc, time::Duration};

/// What one synchronous step came to.
#[derive(Debug)]
pub(crate) enum Next {
    /// The bytes that are left are no whole request.
    Input,
    /// The outbox is full; go on after sending it.
    Flush,
    /// What this site has under this key must be loaded; then the same request again.
    Load {
        /// The site's number.
        site: usize,
        /// Its prefix and a canonical path.
        key: Box<[u8]>,
        /// Which of its representations.
        preference: Preference,
        /// How the directory is shown, where it may be.
        view: Option<View>,
    },
    /// The head is in the outbox, this follows it; then a request body of this length is thrown away.
    Body(Body, u64),
    /// A password must be hashed; then the same request again.
    Hash(Attempt),
    /// This site's page for this status must be loaded; then the same request again.
    Page {
        /// The site's number.
        site: usize,
        /// The status.
        status: Status,
        /// Which of its representations.
        preference: Preference,
    },
    /// A route answers this one with a page, which may have to be loaded; its head was used.
    Refuse(Box<Refused>),
    /// A handler answers this one; its head was used, its body was not.
    Route(Box<Routed>),
    /// The response is in the outbox; then a request body of this length is thrown away.
    Skip(u64),
    /// The response is in the outbox; then the connection ends.
    Close,
}

/// Steps 2 to 5 for as many requests as `buffer` holds whole. Returns the bytes used and what must happen first.
/// `loaded` is what the first of them waited for.
pub(crate) fn take(connection: &mut Connection, buffer: &[u8], mut loaded: Option<Loaded>) -> (usize, Next) {
    // A request ends under the options that it began with: what was loaded for it, or found out about its password, is theirs.
    if loaded.is_none() && connection.hashed.is_none() {
        connection.move_on();
    }
    let core = Rc::clone(connection.core());
    let mut shelf = core.shelf.borrow_mut();
    let now = time::now();
    shelf.clock.advance(now);
    let mut used = 0;
    while used < buffer.len() {
        let (request, length) = match parse::parse(&buffer[used..], &core.limits) {
            Parsed::Complete(request, length) => (request, length),
            Parsed::Partial => break,
            Parsed::Refused(status) => {
                drop(shelf);
                refuse(connection, status, &buffer[used..]);
                return (buffer.len(), Next::Close);
            }
        };
        if connection.outbox.len() >= TOGETHER_MAX {
            return (used, Next::Flush);
        }
        let head = &buffer[used..used + length];
        let over = core.rate.as_ref().and_then(|rate| connection.over_rate(head, rate, now));
        if loaded.is_none() && over.is_none() && core.post.control.desk.count() > 0 {
            match route_of(connection, &core, &mut shelf, (&request, head)) {
                Routing::Hash(attempt) => return (used, Next::Hash(attempt)),
                Routing::Look(Look::Nothing) => {}
                Routing::Look(Look::Routed(routed)) => {
                    connection.forget_request();
                    return (used + length, Next::Route(routed));
                }
                Routing::Look(Look::Page(refused)) => {
                    connection.forget_request();
                    return (used + length, Next::Refuse(refused));
                }
            }
        }
        // The fast path: one lookup, one reference, no copy.
        if request.is_plain() && !core.post.draining.get() && loaded.is_none() && over.is_none() {
            let Shelf { clock, small, path, .. } = &mut *shelf;
            if let Some(target) = target::split(request.target)
                && let site = core.sites.of(request.site(&target))
                && site.is_usual(&request)
                && let Some(entry) = small.get(key_of(site, &target, path))
                && now.saturating_duration_since(entry.checked) < core.revalidate
                && let Some(small) = entry.choose(|| site.preference(&request))
                && site.is_open(target.path, &small.file.description)
            {
                let end = if request.method == Method::Head { small.file.body_at } else { small.ready.len() };
                let ready = small.current(clock);
                if connection.outbox.len() + end > TOGETHER_MAX && connection.outbox.len() > 0 {
                    return (used, Next::Flush);
                }
                connection.push(ready, 0..end);
                let counters = core.counters();
                counters.requests.add(1);
                counters.hits.add(1);
                counters.ok.add(1);
                connection.note(head, connection.outbox.len() - end, 0, clock);
                used += length;
                connection.forget_request();
                continue;
            }
        }
        let start = connection.outbox.len();
        match answer(connection, &core, &mut shelf, (&request, head), (loaded.take(), over)) {
            Step::Load { site, key, preference, view } => {
                return (used, Next::Load { site, key, preference, view });
            }
            Step::Hash(attempt) => return (used, Next::Hash(attempt)),
            Step::Page { site, status, preference } => {
                return (used, Next::Page { site, status, preference });
            }
            Step::Done(body) => {
                connection.note(head, start, body.as_ref().map_or(0, Body::length), &shelf.clock);
                used += length;
                connection.forget_request();
                let skip = match request.body {
                    parse::Body::Length(length) if !connection.last => length,
                    _ => 0,
                };
                match body {
                    Some(body) => return (used, Next::Body(body, skip)),
                    None if connection.last => return (used, Next::Close),
                    None if skip > 0 => return (used, Next::Skip(skip)),
                    None => {}
                }
            }
        }
    }
    (used, Next::Input)
}

/// What routes have to say about a request.
enum Routing {
    Look(Look),
    Hash(Attempt),
}

/// Looks for a route; one in a part of a site that asks for a password is for who has it, as files there are.
fn route_of(
    connection: &mut Connection,
    core: &Rc<Core>,
    shelf: &mut Shelf,
    (request, head): (&Request<'_>, &[u8]),
) -> Routing {
    let Some(target) = target::split(request.target) else { return Routing::Look(Look::Nothing) };
    let found = route::find(core, &target, head);
    if found.is_nothing() {
        return Routing::Look(Look::Nothing);
    }
    let site = core.sites.of(request.site(&target));
    if found.has_handler() {
        // An encoded slash is none to a route; here, where it can only ask for more, it is one.
        let _absent = target::decode(target.path, Dotfiles::Allow, &mut shelf.path);
        if let Some(part) = site.part_of(&shelf.path) {
            match permit(connection, core, (site.index, part), head) {
                Permit::Given => {}
                Permit::Unknown(attempt) => return Routing::Hash(attempt),
                Permit::Denied(status, (name, value)) => {
                    let fields = vec![(name, value.into_vec())];
                    return Routing::Look(Look::page(site, (request, head), status, fields));
                }
            }
        }
    }
    let asker = if found.has_handler() { connection.asker(head) } else { (None, false) };
    Routing::Look(route::look(core, site, (request, head), (found, asker)))
}

/// The raw path as a key: of the first site the path itself.
#[inline]
fn key_of<'a>(site: &Site, target: &target::Target<'a>, room: &'a mut Vec<u8>) -> &'a [u8] {
    if site.prefix.is_empty() {
        return target.path;
    }
    room.clear();
    room.extend_from_slice(&site.prefix);
    room.extend_from_slice(target.path);
    room
}

/// What answering one request came to.
enum Step {
    Load { site: usize, key: Box<[u8]>, preference: Preference, view: Option<View> },
    Page { site: usize, status: Status, preference: Preference },
    Hash(Attempt),
    Done(Option<Body>),
}

/// Steps 3 to 5 off the fast path.
fn answer(
    connection: &mut Connection,
    core: &Rc<Core>,
    shelf: &mut Shelf,
    (request, head): (&Request<'_>, &[u8]),
    (loaded, over): (Option<Loaded>, Option<Duration>),
) -> Step {
    let mut keep = request.keep_alive && !core.post.draining.get();
    keep &= match request.body {
        parse::Body::None => true,
        parse::Body::Length(length) => length <= core.options.limits.body_bytes && !request.expects_continue,
        parse::Body::Chunked => false,
    };
    let target = target::split(request.target);
    let site = target.map_or(core.sites.first(), |target| core.sites.of(request.site(&target)));
    let reply = |connection: &mut Connection, shelf: &Shelf, status: Status, fields: &[(&str, &[u8])]| {
        let persistence = persist(connection, request, keep && !status.closes());
        let page = Page { status, fields, head_only: request.method == Method::Head, persistence };
        let date = *shelf.clock.text();
        page::write(connection.writer(), &page, &date, site.lines_of(request));
        count(core, status);
        Step::Done(None)
    };
    if let Some(wait) = over {
        let seconds = (wait.as_secs() + 1).to_string();
        return reply(connection, shelf, Status::TooManyRequests, &[("Retry-After", seconds.as_bytes())]);
    }
    let decoded = target.map(|target| target::decode(target.path, site.options.dotfiles, &mut shelf.path));
    // What goes out in place of a part, unless the request may see it.
    let refusal = |connection: &mut Connection, shelf: &Shelf, part: usize| match permit(
        connection,
        core,
        (site.index, part),
        head,
    ) {
        Permit::Given => None,
        Permit::Unknown(attempt) => Some(Step::Hash(attempt)),
        Permit::Denied(status, (name, value)) => Some(reply(connection, shelf, status, &[(name, &value)])),
    };
    let mut asked = None;
    if request.method != Method::Options
        && let Some(Ok(())) = decoded
        && let Some(part) = site.part_of(&shelf.path)
    {
        if let Some(step) = refusal(connection, shelf, part) {
            return step;
        }
        asked = Some(part);
    }
    // What was loaded for this request was looked for because nothing had moved.
    if loaded.is_none()
        && !site.redirects.is_empty()
        && request.method != Method::Options
        && let (Some(target), Some(Ok(()))) = (target, decoded)
        && let Some((status, location)) = site.redirects.find(&shelf.path, target.query)
    {
        return reply(connection, shelf, status, &[("Location", &location)]);
    }
    // What went wrong: the site's page for it, which may have to be loaded first.
    let fail = |connection: &mut Connection, shelf: &Shelf, loaded: Option<Loaded>, status: Status| {
        let fields: &[(&str, &[u8])] = match status {
            Status::MethodNotAllowed => &[("Allow", page::ALLOW.as_bytes())],
            Status::ServiceUnavailable => &[("Retry-After", b"1")],
            _ => &[],
        };
        let Some(page) = site.error_pages.of(status) else {
            return reply(connection, shelf, status, fields);
        };
        match loaded {
            None => Step::Page { site: site.index, status, preference: site.preference(request) },
            Some(Loaded::Page(_, bytes)) => {
                let persistence = persist(connection, request, keep && !status.closes());
                let head = Page { status, fields, head_only: request.method == Method::Head, persistence };
                let date = *shelf.clock.text();
                count(core, status);
                Step::Done(own_page(
                    connection,
                    &head,
                    &page.cache_control,
                    bytes,
                    &date,
                    site.lines_of(request),
                ))
            }
            Some(_) => reply(connection, shelf, status, fields),
        }
    };
    match request.method {
        Method::Get | Method::Head => {}
        Method::Options => {
            let fields: Vec<(&str, &[u8])> =
                site.options_fields.iter().map(|(name, value)| (*name, &**value)).collect();
            return reply(connection, shelf, Status::NoContent, &fields);
        }
        Method::Other => {
            return fail(connection, shelf, loaded, Status::MethodNotAllowed);
        }
        Method::Unknown => return reply(connection, shelf, Status::NotImplemented, &[]),
    }
    // Step 3.
    let (Some(target), Some(decoded)) = (target, decoded) else {
        return fail(connection, shelf, loaded, Status::BadRequest);
    };
    match decoded {
        Ok(()) => {}
        Err(Refusal::Malformed) => return fail(connection, shelf, loaded, Status::BadRequest),
        Err(Refusal::Absent) => return fail(connection, shelf, loaded, Status::NotFound),
    }
    shelf.path.splice(0..0, site.prefix.iter().copied());
    let loaded = match loaded {
        Some(loaded) => loaded,
        None => match look_up(core, site, shelf, site.preference(request)) {
            Some(loaded) => {
                core.counters().hits.add(1);
                loaded
            }
            None => {
                let key: Box<[u8]> = shelf.path.as_slice().into();
                let listed = site.options.listing && key.ends_with(b"/");
                let view = listed.then(|| View::of(head, target.query));
                return Step::Load { site: site.index, key, preference: site.preference(request), view };
            }
        },
    };
    // The file that answers may be in a part that the path is not in.
    let (part, loaded) = loaded.unveil();
    if let Some(part) = part
        && asked != Some(part)
        && let Some(step) = refusal(connection, shelf, part)
    {
        return step;
    }
    let (bytes, status_and_content) = match loaded {
        Loaded::Failed(status) | Loaded::Page(status, _) => {
            return fail(connection, shelf, Some(loaded), status);
        }
        // It was taken off above.
        Loaded::Behind(..) => return fail(connection, shelf, None, Status::InternalServerError),
        Loaded::Moved(path) => {
            let location = target::location(&path, target.query);
            return reply(connection, shelf, Status::MovedPermanently, &[("Location", &location)]);
        }
        // Steps 4 and 5.
        Loaded::Small(file, ready) => {
            let decided = decide(connection, (core, site), shelf, request, &file.description, keep);
            (Bytes::Memory(file, ready), decided)
        }
        Loaded::Large(file) => {
            let decided = decide(connection, (core, site), shelf, request, &file.description, keep);
            (Bytes::File(file), decided)
        }
    };
    let (status, content) = status_and_content;
    count(core, status);
    Step::Done(attach(connection, bytes, content))
}

/// Whether a request may see a part of a site.
enum Permit {
    Given,
    Unknown(Attempt),
    /// This page goes out instead, with this field.
    Denied(Status, (&'static str, Box<[u8]>)),
}

fn permit(connection: &mut Connection, core: &Core, part: (usize, usize), head: &[u8]) -> Permit {
    let hashed = connection.hashed;
    if hashed == Some(Outcome::Busy) {
        return Permit::Denied(Status::ServiceUnavailable, ("Retry-After", b"1"[..].into()));
    }
    let wrong = |challenge| Permit::Denied(Status::Unauthorized, ("WWW-Authenticate", challenge));
    let Some(guard) = core.setup.guard.as_ref() else { return wrong(b"Basic"[..].into()) };
    let credentials = Credentials::of(head);
    match guard.judge(part, credentials.as_ref(), hashed) {
        Verdict::Right => {
            if let (Some(log), Some(credentials)) = (&mut connection.log, &credentials) {
                log.user(credentials.name());
            }
            Permit::Given
        }
        Verdict::Wrong => wrong(guard.challenge(part)),
        Verdict::Unknown(attempt) => Permit::Unknown(attempt),
    }
}

fn decide(
    connection: &mut Connection,
    (core, site): (&Core, &Site),
    shelf: &Shelf,
    request: &Request<'_>,
    file: &crate::http::head::Description,
    keep: bool,
) -> (Status, Content) {
    let persistence = persist(connection, request, keep);
    let date = *shelf.clock.text();
    let context = Context {
        lines: site.lines_of(request),
        date: &date,
        persistence,
        ranges_max: core.options.limits.ranges,
    };
    answer::write(connection.writer(), request, file, &context)
}

/// Writes a page of the site's own in place of the server's. What does not fit beside its head must be sent behind it.
pub(crate) fn own_page(
    connection: &mut Connection,
    page: &Page<'_>,
    cache_control: &[u8],
    bytes: Bytes,
    date: &[u8; DATE_BYTES],
    lines: &FixedLines,
) -> Option<Body> {
    let file = bytes.description();
    page::write_head(connection.writer(), page, file, cache_control, date, lines);
    let whole = ByteRange { start: 0, end: file.size };
    let content = if page.head_only || file.size == 0 { Content::None } else { Content::Piece(whole) };
    attach(connection, bytes, content)
}

/// Puts a small piece from memory beside its head; what is larger follows in its own sends.
fn attach(connection: &mut Connection, bytes: Bytes, content: Content) -> Option<Body> {
    match (&bytes, &content) {
        (_, Content::None) => None,
        (Bytes::Memory(file, ready), Content::Piece(piece)) if piece.length() <= TOGETHER_MAX as u64 => {
            let start = file.body_at + usize::try_from(piece.start).unwrap_or(usize::MAX);
            let end = file.body_at + usize::try_from(piece.end).unwrap_or(usize::MAX);
            connection.push(ready, start..end);
            None
        }
        _ => Some(Body { bytes, content }),
    }
}

/// What is on the shelf under `shelf.path` for a client with this preference, and still true.
pub(crate) fn look_up(core: &Core, site: &Site, shelf: &mut Shelf, preference: Preference) -> Option<Loaded> {
    let Shelf { small, large, path, .. } = shelf;
    if let Some(entry) = true_entry(core, site, small, path)?
        && let Some(small) = entry.choose(|| preference)
    {
        return Some(Loaded::Small(Rc::clone(&small.file), Rc::clone(&small.ready)));
    }
    let entry = true_entry(core, site, large, path)??;
    let file = entry.choose(|| preference).filter(|file| !file.is_over.get())?;
    Some(Loaded::Large(Rc::clone(file)))
}

/// The entry under a key, if there is one; `None` when it was there and is true no longer: it is dropped, what takes its place is loaded.
fn true_entry<'a, R>(
    core: &Core,
    site: &Site,
    map: &'a mut Bounded<Entry<R>>,
    key: &[u8],
) -> Option<Option<&'a mut Entry<R>>> {
    let now = time::now();
    let canonical = &key[site.prefix.len()..];
    let Some(entry) = map.get(key) else { return Some(None) };
    if now.saturating_duration_since(entry.checked) >= core.revalidate {
        if load::check(site, canonical, &entry.seen, entry.fresh) != Check::Same {
            map.remove(key);
            return None;
        }
        entry.checked = now;
    }
    Some(map.get(key))
}

/// What the response says about the connection, and remembers it.
pub(crate) fn persist(connection: &mut Connection, request: &Request<'_>, keep: bool) -> Persistence {
    if !keep {
        connection.last = true;
        // A client that did not ask for the end may be sending its next request: closing on that would take the answer back.
        connection.unread |= request.body != parse::Body::None || request.keep_alive;
        return Persistence::Close;
    }
    Persistence::of(true, request.minor_version)
}

pub(crate) fn count(core: &Core, status: Status) {
    core.counters().requests.add(1);
    core.counters().status(status);
}

/// Refuses bytes that are no request: a page, and the end.
pub(crate) fn refuse(connection: &mut Connection, status: Status, bytes: &[u8]) {
    connection.last = true;
    connection.unread = true;
    let core = Rc::clone(connection.core());
    let shelf = core.shelf.borrow();
    let date = *shelf.clock.text();
    let start = connection.outbox.len();
    let again: &[(&str, &[u8])] =
        if status == Status::TooManyRequests { &[("Retry-After", b"1")] } else { &[] };
    let page = Page { status, fields: again, head_only: false, persistence: Persistence::Close };
    page::write(connection.writer(), &page, &date, &core.sites.first().lines);
    connection.note(bytes, start, 0, &shelf.clock);
    count(&core, status);
}
