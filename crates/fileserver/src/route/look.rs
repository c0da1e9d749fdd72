//! Pipeline step 3 for routes: whether a request has one, and may come in.
use super::{
    desk::Event,
    exchange::{Exchange, Facts},
    refusal::Refused,
    table::Found,
};
use crate::{
    core::Core,
    http::{
        page,
        parse::{Body, Method, Request},
        status::Status,
    },
    site::Site,
    target::Target,
};
use ringwheel_executor::try_spawn;
use std::{net::IpAddr, rc::Rc, sync::Arc};

/// What was found.
pub(crate) enum Look {
    /// No route: it is a file's.
    Nothing,
    /// A route, which waits for [`converse`](mod@super::converse).
    Routed(Box<Routed>),
    /// Neither: this page.
    Page(Box<Refused>),
}

/// A request that a handler is to answer.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) visit: Visit,
    /// The number of its site, and its origin where the answer depends on it.
    pub(crate) site: usize,
    pub(crate) origin: Option<Box<[u8]>>,
    pub(crate) body: Body,
    pub(crate) expects_continue: bool,
    pub(crate) head_only: bool,
    pub(crate) minor_version: u8,
    /// The client would have the connection stay open.
    pub(crate) keep_alive: bool,
}

/// A place among those who wait for handlers. Dropping it says that nobody waits any more.
#[derive(Debug)]
pub(crate) struct Visit {
    core: Rc<Core>,
    pub(crate) exchange: Arc<Exchange>,
}

impl Visit {
    /// Leaves something for the handlers' thread, which is called when the tasks that are ready now have had their turns. False: it is no more.
    pub(crate) fn leave(&self, event: fn(Arc<Exchange>) -> Event) -> bool {
        let left = self.core.post.control.desk.leave_event(event(Arc::clone(&self.exchange)));
        if left && !self.core.ringing.replace(true) {
            let core = Rc::clone(&self.core);
            let ring = try_spawn(async move {
                core.ringing.set(false);
                core.post.control.desk.ring();
            });
            if ring.is_err() {
                self.core.ringing.set(false);
                self.core.post.control.desk.ring();
            }
        }
        left
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = self.exchange.state();
        state.gone = true;
        let told = state.finished || state.failed;
        drop(state);
        if !told {
            self.leave(Event::Gone);
        }
        self.core.post.control.desk.leave();
    }
}

/// Looks a request up; `head` is all of its head.
pub(crate) fn find(core: &Core, target: &Target<'_>, head: &[u8]) -> Found {
    core.routes.borrow_mut().find(&core.post.control.desk, method_of(head.trim_ascii_start()), target.path)
}

fn method_of(head: &[u8]) -> &[u8] {
    &head[..memchr::memchr(b' ', head).unwrap_or(0)]
}

/// What becomes of a request of this site for which that was found; `client` is who asks, and whether over HTTPS to a proxy.
pub(crate) fn look(
    core: &Rc<Core>,
    site: &Site,
    (request, head): (&Request<'_>, &[u8]),
    (found, (client, is_secure)): (Found, (Option<IpAddr>, bool)),
) -> Look {
    let refuse = |status: Status, fields| Look::page(site, (request, head), status, fields);
    let head = head.trim_ascii_start();
    let method = method_of(head);
    let desk = &core.post.control.desk;
    let route = match found {
        Found::Nothing => return Look::Nothing,
        Found::Methods(methods) => match request.method {
            Method::Get | Method::Head => return Look::Nothing, // A file may have the name.
            Method::Other => {
                let allow = methods_of(&methods);
                return refuse(Status::MethodNotAllowed, vec![("Allow", allow.into_bytes())]);
            }
            Method::Unknown => return Look::Nothing,
            Method::Options => {
                let mut fields = site.options_fields.clone();
                for (name, value) in &mut fields {
                    if matches!(*name, "Allow" | "Access-Control-Allow-Methods") {
                        *value = methods_of(&methods).into_bytes();
                    }
                }
                return refuse(Status::NoContent, fields);
            }
        },
        Found::Route(route) => route,
    };
    let limits = &core.options.limits;
    if matches!(request.body, Body::Length(length) if length > limits.route_body_bytes) {
        return refuse(Status::ContentTooLarge, Vec::new());
    }
    let busy = || refuse(Status::ServiceUnavailable, vec![("Retry-After", b"1".to_vec())]);
    if !desk.enter(limits.route_requests) {
        return busy();
    }
    let facts = Facts {
        route,
        method: method.len() as u32,
        target: request.target.len() as u32,
        has_body: request.body != Body::None,
        client,
        is_secure,
    };
    let visit = Visit { core: Rc::clone(core), exchange: Arc::new(Exchange::new(head, facts)) };
    if !visit.leave(Event::Request) {
        return busy();
    }
    Look::Routed(Box::new(Routed {
        visit,
        site: site.index,
        origin: (!site.is_usual(request)).then(|| request.origin.unwrap_or_default().into()),
        body: request.body,
        expects_continue: request.expects_continue,
        head_only: request.method == Method::Head,
        minor_version: request.minor_version,
        keep_alive: request.keep_alive,
    }))
}

/// What a path with these routes answers to: files have theirs too.
fn methods_of(routes: &[Box<[u8]>]) -> String {
    let every = [&b"POST"[..], b"PUT", b"PATCH", b"DELETE"];
    let mut all = page::ALLOW.to_owned();
    let named =
        routes.iter().flat_map(|method| if **method == *b"*" { every.to_vec() } else { vec![&**method] });
    for method in named {
        let method = String::from_utf8_lossy(method);
        if !all.split(", ").any(|known| known == method) {
            all.push_str(", ");
            all.push_str(&method);
        }
    }
    all
}
