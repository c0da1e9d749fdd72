//! Pipeline step 3a, where a site asks for it: a name and a password before anything is looked for.
//!
//! A password is hashed on the executor's pool, one at a time a core, and what was right is remembered for a while under a keyed hash (HMAC-SHA256 with a key of
//! this process), so that a table of them says nothing about passwords and no timing helps to guess one.
mod credentials;
pub(crate) mod htpasswd;

pub(crate) use credentials::Credentials;

use crate::{
    core::Core,
    error::StartError,
    options::{AuthOptions, Options, SiteOptions},
};
use htpasswd::Users;
use ring::hmac;
use ringwheel_executor::{spawn_blocking, sync::Semaphore, time};
use rustc_hash::FxHashMap;
use std::{
    cell::Cell,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a password that was right is not hashed again.
const REMEMBERED: Duration = Duration::from_secs(300);
/// How many of them; when there are more, all are forgotten.
const REMEMBERED_MAX: usize = 4096;
/// Requests of a core that may wait for their passwords to be hashed; others are told to come again.
const WAITING_MAX: usize = 64;

/// What credentials are remembered under.
pub(crate) type Mark = [u8; 32];

/// A part of a site, with all who may see it.
#[derive(Debug)]
struct Part {
    /// The value of WWW-Authenticate.
    challenge: Box<[u8]>,
    users: Users,
    /// Hashed for names that nobody has, so that they take as long as others.
    decoy: Box<str>,
}

/// The parts of all sites of a server; another one after a reload.
#[derive(Debug)]
pub(crate) struct Guard {
    sites: Vec<Vec<Arc<Part>>>,
    key: hmac::Key,
    known: Mutex<FxHashMap<Mark, Instant>>,
}

/// What a request is to a part of a site.
pub(crate) enum Verdict {
    /// Its password was right.
    Right,
    /// It has none, or a wrong one.
    Wrong,
    /// Somebody has to hash it first.
    Unknown(Attempt),
}

/// Credentials that are to be checked.
#[derive(Debug)]
pub(crate) struct Attempt {
    part: Arc<Part>,
    credentials: Credentials,
    mark: Mark,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Right(Mark),
    Wrong(Mark),
    /// Too many wait.
    Busy,
}

impl Guard {
    /// Reads the names of all sites; `None` where no site asks for any.
    pub(crate) fn open(options: &Options) -> Result<Option<Guard>, StartError> {
        let parts =
            |site: &SiteOptions| site.basic_auth.iter().map(|part| Part::open(part).map(Arc::new)).collect();
        let sites: Vec<Vec<Arc<Part>>> = options.all_sites().map(parts).collect::<Result<_, _>>()?;
        if sites.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new());
        let key = key.map_err(|_| StartError::Core {
            core: 0,
            reason: "the system gives no random bytes".to_owned(),
        })?;
        Ok(Some(Guard { sites, key, known: Mutex::default() }))
    }

    fn part(&self, site: usize, part: usize) -> Option<&Arc<Part>> {
        self.sites.get(site)?.get(part)
    }

    /// The value of WWW-Authenticate of a part.
    pub(crate) fn challenge(&self, (site, number): (usize, usize)) -> Box<[u8]> {
        self.part(site, number).map_or_else(|| b"Basic"[..].into(), |part| part.challenge.clone())
    }

    /// Judges a request's head; `hashed` is what came of its password, if it was hashed just now.
    pub(crate) fn judge(
        &self,
        (site, number): (usize, usize),
        credentials: Option<&Credentials>,
        hashed: Option<Outcome>,
    ) -> Verdict {
        let (Some(part), Some(credentials)) = (self.part(site, number), credentials) else {
            return Verdict::Wrong;
        };
        let mark = self.mark(site, number, credentials);
        match hashed {
            Some(Outcome::Right(of)) if of == mark => return Verdict::Right,
            Some(Outcome::Wrong(of)) if of == mark => return Verdict::Wrong,
            _ => {}
        }
        if self.is_known(&mark) {
            return Verdict::Right;
        }
        Verdict::Unknown(Attempt { part: Arc::clone(part), credentials: credentials.clone(), mark })
    }

    fn mark(&self, site: usize, part: usize, credentials: &Credentials) -> Mark {
        let mut context = hmac::Context::with_key(&self.key);
        for number in [site, part] {
            context.update(&(number as u64).to_le_bytes());
        }
        context.update(credentials.whole());
        let mut mark = [0; 32];
        mark.copy_from_slice(context.sign().as_ref());
        mark
    }

    fn is_known(&self, mark: &Mark) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(mark).is_some_and(|until| time::now() < *until)
    }

    fn remember(&self, mark: Mark) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(mark, time::now() + REMEMBERED);
    }
}

impl Part {
    fn open(options: &AuthOptions) -> Result<Part, StartError> {
        let mut users = Users::default();
        if let Some(path) = &options.file {
            htpasswd::read(path, &mut users)?;
        }
        users.extend(options.users.iter().map(|(name, hash)| (name.as_bytes().into(), hash.as_str().into())));
        // The dearest of all: it takes at least as long as any that somebody has.
        let decoy = users.values().max_by_key(|hash| hash.get(4..6)).cloned().unwrap_or_default();
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", options.realm).into_bytes().into();
        Ok(Part { challenge, users, decoy })
    }
}

/// The queue of a core before the pool.
#[derive(Debug)]
pub(crate) struct Turns {
    turn: Semaphore,
    waiting: Cell<usize>,
}

impl Default for Turns {
    fn default() -> Turns {
        Turns { turn: Semaphore::new(1), waiting: Cell::new(0) }
    }
}

/// Counts who waits, also when the wait is dropped.
struct Waits<'a>(&'a Cell<usize>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Hashes a password on the pool, when it is its turn.
pub(crate) async fn hash(core: &Rc<Core>, attempt: Attempt) -> Outcome {
    let turns = &core.turns;
    let Some(guard) = core.setup.guard.clone() else { return Outcome::Busy };
    if turns.waiting.get() >= WAITING_MAX {
        return Outcome::Busy;
    }
    turns.waiting.set(turns.waiting.get() + 1);
    let _waits = Waits(&turns.waiting);
    let Ok(_turn) = turns.turn.acquire(1).await else { return Outcome::Busy };
    let Attempt { part, credentials, mark } = attempt;
    // Whoever had the turn before may have sent the same: a browser opens six connections at once.
    if guard.is_known(&mark) {
        return Outcome::Right(mark);
    }
    let checked = spawn_blocking(move || {
        let found = part.users.get(credentials.name());
        let right = bcrypt::verify(credentials.password(), found.unwrap_or(&part.decoy));
        found.is_some() && right.unwrap_or(false)
    });
    match checked.await {
        Ok(true) => {
            guard.remember(mark);
            Outcome::Right(mark)
        }
        Ok(false) => Outcome::Wrong(mark),
        Err(_) => Outcome::Busy,
    }
}
