//! Pipeline steps 5 and 6 for routes: a page in place of a handler's answer, the site's own where it has one for the status.
use super::look::Look;
use crate::{
    body::{self, Body},
    connection::Connection,
    core::Core,
    fallback,
    file::Loaded,
    http::{
        coding::Preference,
        head::Persistence,
        page::{self, Page},
        parse::{self, Method, Request},
        status::Status,
    },
    respond::{count, own_page},
    site::Site,
    watch::Phase,
};
use ringwheel_executor::time;
use std::{io, rc::Rc};

/// A request that is answered with a page instead of a handler. Its body, if it has one, is not read.
#[derive(Debug)]
pub(crate) struct Refused {
    status: Status,
    fields: Vec<(&'static str, Vec<u8>)>,
    /// The number of its site, and its origin where the answer depends on it.
    site: usize,
    origin: Option<Box<[u8]>>,
    head: Box<[u8]>,
    head_only: bool,
    minor_version: u8,
    keep_alive: bool,
    has_body: bool,
}

impl Look {
    /// A request of this site is answered with a page.
    pub(crate) fn page(
        site: &Site,
        (request, head): (&Request<'_>, &[u8]),
        status: Status,
        fields: Vec<(&'static str, Vec<u8>)>,
    ) -> Look {
        Look::Page(Box::new(Refused {
            status,
            fields,
            site: site.index,
            origin: (!site.is_usual(request)).then(|| request.origin.unwrap_or_default().into()),
            head: head.into(),
            head_only: request.method == Method::Head,
            minor_version: request.minor_version,
            keep_alive: request.keep_alive,
            has_body: request.body != parse::Body::None,
        }))
    }
}

/// Answers with the page.
pub(crate) async fn refuse(connection: &mut Connection, refused: &Refused) -> io::Result<()> {
    let core = Rc::clone(connection.core());
    let keep =
        refused.keep_alive && !refused.has_body && !core.post.draining.get() && !refused.status.closes();
    if !keep {
        connection.last = true;
        connection.unread |= refused.has_body || refused.keep_alive;
    }
    let fields: Vec<(&str, &[u8])> = refused.fields.iter().map(|(name, value)| (*name, &**value)).collect();
    let page = Page {
        status: refused.status,
        fields: &fields,
        head_only: refused.head_only,
        persistence: Persistence::of(keep, refused.minor_version),
    };
    let (start, body) = write(connection, &core, (refused.site, refused.origin.as_deref()), &page).await?;
    let more = body.as_ref().map_or(0, Body::length);
    connection.note(&refused.head, start, more, &core.shelf.borrow().clock);
    if let Some(body) = body {
        body::send(connection, body).await?;
        connection.settle(false);
    }
    Ok(())
}

/// Puts a page into the outbox, for this origin of this site. Returns where it begins, and what must be sent behind it.
pub(super) async fn write(
    connection: &mut Connection,
    core: &Rc<Core>,
    (site, origin): (usize, Option<&[u8]>),
    page: &Page<'_>,
) -> io::Result<(usize, Option<Body>)> {
    let mut loaded = Loaded::Failed(page.status);
    if core.sites.at(site).error_pages.of(page.status).is_some() {
        connection.flush(false).await?;
        connection.enter(Phase::Send);
        loaded = fallback::page(core, site, page.status, Preference::IDENTITY).await;
    }
    let site = core.sites.at(site);
    let lines = site.lines_for(origin);
    let date = {
        let mut shelf = core.shelf.borrow_mut();
        shelf.clock.advance(time::now());
        *shelf.clock.text()
    };
    count(core, page.status);
    let start = connection.outbox.len();
    let body = match (loaded, site.error_pages.of(page.status)) {
        (Loaded::Page(_, bytes), Some(own)) => {
            own_page(connection, page, &own.cache_control, bytes, &date, lines)
        }
        _ => {
            page::write(connection.writer(), page, &date, lines);
            None
        }
    };
    Ok((start, body))
}
