//! Pipeline step 3b: a canonical path to an open file or a ready-made response, once for all who wait for it. Names are looked up inline
//! (`find.rs`); bytes are read through the ring, since a disk may be behind them.
use crate::{
    cache::Bounded,
    core::{Core, Shelf},
    file::{Entry, LargeFile, Loaded, Seen, Small, Stamp, describe, make_small},
    find::{Found, Lost, find, lost, open_in},
    http::{
        coding::{Coding, Codings, Preference},
        etag::EtagKind,
        head::Description,
        status::Status,
    },
    on_the_fly::{self, Tried},
    site::{About, Site},
};
use ringwheel_executor::{Target, fs, time, try_spawn};
use std::{
    cell::{Cell, OnceCell, RefCell},
    future::poll_fn,
    io,
    rc::Rc,
    task::{Poll, Waker},
};

/// What a look at the path of a cached file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// The same file, unchanged.
    Same,
    /// Changed, replaced or gone: load again.
    Changed,
}

/// A file with the packed files beside it.
struct Look {
    found: Found,
    packed: Vec<(Coding, fs::File, fs::Metadata)>,
    seen: Seen,
}

impl Look {
    /// The representation for a client: its coding, and where it is read from.
    fn choose(self, site: &Site, preference: Preference) -> Chosen {
        let Look { found, packed, seen } = self;
        let about = site.about(&found.path);
        let offered = seen.available.and(site.on_the_fly(&about, found.metadata.size));
        let wanted = preference.choose(offered);
        let (coding, file, metadata) = packed.into_iter().find(|(each, ..)| *each == wanted).unwrap_or((
            Coding::Identity,
            found.file,
            found.metadata,
        ));
        Chosen { file, metadata, coding, wanted, answers_for: None, about, offered, seen }
    }
}

/// The representation to load.
pub(crate) struct Chosen {
    pub(crate) file: fs::File,
    pub(crate) metadata: fs::Metadata,
    /// How the file's bytes are packed.
    coding: Coding,
    /// How the client's are to be: where that is another coding, on the fly.
    pub(crate) wanted: Coding,
    /// The file answers in place of this coding as well: packing it has no gain.
    answers_for: Option<Coding>,
    /// Of the file that is not packed: what is said of it is said of all.
    pub(crate) about: About,
    offered: Codings,
    seen: Seen,
}

/// Looks a canonical path up, and what the site may have packed beside it, in the same directory.
fn look(site: &Site, path: &[u8]) -> Result<Look, Lost> {
    let found = find(site, path)?;
    let mut seen = Seen::alone(Stamp::of(&found.metadata));
    let mut packed = Vec::new();
    if let Some((directory, rest)) = site.places(&found.path).nth(found.place) {
        for coding in site.ahead.packed() {
            match open_in(directory, &[rest, coding.extension().as_bytes()].concat()) {
                Ok((file, metadata)) if is_of(&metadata, &found.metadata) => {
                    seen.add(coding, Stamp::of(&metadata));
                    packed.push((coding, file, metadata));
                }
                Err(Lost::Descriptors) => return Err(Lost::Descriptors),
                // Older, empty, no file or not ours to read: the file itself is there.
                Ok(_) | Err(_) => {}
            }
        }
    }
    Ok(Look { found, packed, seen })
}

/// True for a packed file that was made from the file as it is: not older, and not empty, as nothing packed is. Tools that copy the
/// time of the original onto it may cut it to whole seconds.
fn is_of(packed: &fs::Metadata, file: &fs::Metadata) -> bool {
    let cut = packed.modified_nanoseconds == 0 && packed.modified_seconds == file.modified_seconds;
    let time = |of: &fs::Metadata| (of.modified_seconds, of.modified_nanoseconds);
    packed.size > 0 && (cut || time(packed) >= time(file))
}

/// Compares what is cached with what its path leads to now: by path, so that a rename is seen. Inline: three system calls, and one to
/// three more for each coding of the site.
pub(crate) fn check(site: &Site, path: &[u8], seen: &Seen, fresh: bool) -> Check {
    if fresh {
        // It may have changed within the clock's step without a trace in its stamp: only its bytes can tell.
        return Check::Changed;
    }
    match look(site, path) {
        Ok(look) if look.seen == *seen => Check::Same,
        // Without a descriptor nothing can be learnt, and what we have was right a moment ago.
        Err(Lost::Descriptors) => Check::Same,
        _ => Check::Changed,
    }
}

/// One load that any number of requests wait for.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    result: OnceCell<Loaded>,
    waiting: RefCell<Vec<Waker>>,
}

impl Flight {
    async fn wait(&self) -> Loaded {
        poll_fn(|context| match self.result.get() {
            Some(loaded) => Poll::Ready(loaded.clone()),
            None => {
                let mut waiting = self.waiting.borrow_mut();
                if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                    waiting.push(context.waker().clone());
                }
                Poll::Pending
            }
        })
        .await
    }

    fn land(&self, loaded: Loaded) {
        // A second landing (the guard after a real one) changes nothing.
        let _ = self.result.set(loaded);
        for waker in self.waiting.take() {
            waker.wake();
        }
    }
}

/// Lands a flight whatever happens to the task that flies it.
struct Landing {
    core: Rc<Core>,
    site: usize,
    key: Rc<[u8]>,
    /// The key and the preference.
    number: Rc<[u8]>,
    flight: Rc<Flight>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.core.flights.borrow_mut().remove(&self.number);
        self.flight.land(Loaded::Failed(Status::InternalServerError));
    }
}

/// Loads what a site has under a key (its prefix and a canonical path), or waits for the load that is under way. The load goes on when
/// its first asker leaves.
pub(crate) async fn load(core: &Rc<Core>, site: usize, key: &[u8], preference: Preference) -> Loaded {
    if core.missing.borrow().knows(key, time::now()) {
        return Loaded::Failed(Status::NotFound);
    }
    let number: Rc<[u8]> = [key, &[preference.code()]].concat().into();
    let under_way = core.flights.borrow().get(&number).map(Rc::clone);
    if let Some(flight) = under_way {
        return flight.wait().await;
    }
    let key: Rc<[u8]> = Rc::from(key);
    let flight = Rc::new(Flight::default());
    core.flights.borrow_mut().insert(Rc::clone(&number), Rc::clone(&flight));
    let landing = Landing { core: Rc::clone(core), site, key, number, flight: Rc::clone(&flight) };
    let spawned = try_spawn(async move {
        let site = landing.core.sites.at(landing.site);
        let loaded = fly(&landing.core, site, &landing.key, preference).await;
        landing.flight.land(loaded);
    });
    match spawned {
        Ok(_) => flight.wait().await,
        Err(_) => Loaded::Failed(Status::ServiceUnavailable),
    }
}

/// What a file that changes while it is read comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stability {
    /// It is read again.
    Demanded,
    /// The state that was read is served, without a validator, and not kept: a log that never rests must be readable too.
    Waived,
}

async fn fly(core: &Core, site: &Site, key: &[u8], preference: Preference) -> Loaded {
    core.counters().loads.add(1);
    const TRIES: usize = 4;
    for attempt in 1..=TRIES {
        let stability = if attempt < TRIES { Stability::Demanded } else { Stability::Waived };
        let mut chosen = match look(site, &key[site.prefix.len()..]) {
            Ok(look) => look.choose(site, preference),
            Err(Lost::Descriptors) => {
                // The open files we keep only for speed are the ones to give up.
                let mut shelf = core.shelf.borrow_mut();
                if shelf.large.is_empty() {
                    return Loaded::Failed(Status::ServiceUnavailable);
                }
                shelf.large.clear();
                core.publish_cache(&shelf);
                continue;
            }
            Err(lost) => {
                forget(core, &mut core.shelf.borrow_mut(), key);
                if let Lost::Failed(Status::NotFound) = lost {
                    core.missing.borrow_mut().remember(key, time::now());
                }
                return match lost {
                    Lost::Moved(path) => Loaded::Moved(path.into()),
                    Lost::Failed(status) => Loaded::Failed(status),
                    Lost::Directory | Lost::Descriptors => Loaded::Failed(Status::NotFound),
                };
            }
        };
        // A file that never rests is not worth packing.
        if chosen.wanted != chosen.coding && stability == Stability::Demanded {
            match on_the_fly::pack(core, site, key, &chosen).await {
                Ok(Tried::Loaded(loaded)) => return loaded,
                Ok(Tried::Again) => continue,
                Ok(Tried::NoGain) => chosen.answers_for = Some(chosen.wanted),
                // Whatever reading it says now it will say below.
                Ok(Tried::NotNow) | Err(_) => {}
            }
        }
        let small = chosen.metadata.size <= core.options.cache.file_bytes_max as u64;
        let result = if small {
            read_small(core, site, key, &chosen, stability).await
        } else {
            open_large(core, site, key, chosen, stability).await
        };
        match result {
            Ok(Some(loaded)) => return loaded,
            Ok(None) => {}
            Err(error) => {
                return Loaded::Failed(match lost(&error) {
                    Lost::Failed(Status::Forbidden) => Status::Forbidden,
                    Lost::Descriptors => Status::ServiceUnavailable,
                    // The name was there a moment ago: whatever reading says now is the system's failure.
                    _ => Status::InternalServerError,
                });
            }
        }
    }
    Loaded::Failed(Status::InternalServerError)
}

/// Reads a small file whole and shelves it. `None`: it changed meanwhile, and stability is demanded.
async fn read_small(
    core: &Core,
    site: &Site,
    key: &[u8],
    chosen: &Chosen,
    stability: Stability,
) -> io::Result<Option<Loaded>> {
    let size = usize::try_from(chosen.metadata.size).unwrap_or(usize::MAX);
    // One byte more than it should have: a file that grew shows itself.
    let Some(mut body) = read_whole(&chosen.file, size + 1).await? else { return Ok(None) };
    let stamp = Stamp::of(&chosen.metadata);
    let changed = body.len() != size || Stamp::of(&chosen.file.metadata()?) != stamp;
    if changed && stability == Stability::Demanded {
        return Ok(None);
    }
    let hash = (site.options.etag == EtagKind::ContentHash).then(|| xxhash_rust::xxh3::xxh3_128(&body));
    let mut shelf = core.shelf.borrow_mut();
    let clock = &mut shelf.clock;
    clock.advance(time::now());
    let mut description =
        describe(&chosen.metadata, &chosen.about, chosen.coding, site.options.etag, hash, clock.second());
    if changed {
        body.truncate(size); // What was appended meanwhile belongs to a later state.
        description.waive(body.len() as u64);
        let (file, ready) = make_small(description, &body, clock, &site.lines);
        forget(core, &mut shelf, key);
        return Ok(Some(Loaded::Small(file, ready)));
    }
    drop(shelf);
    Ok(Some(shelve_small(core, site, key, chosen, description, &body)))
}

/// Makes the response of a small file, or of one that became small, and shelves it.
pub(crate) fn shelve_small(
    core: &Core,
    site: &Site,
    key: &[u8],
    chosen: &Chosen,
    description: Description,
    body: &[u8],
) -> Loaded {
    let mut shelf = core.shelf.borrow_mut();
    let Shelf { clock, small, large, .. } = &mut *shelf;
    let (file, ready) = make_small(description, body, clock, &site.lines);
    drop_other(large, key, &chosen.seen);
    if !key.contains(&b'%') {
        let mut entry = entry_for(small, key, chosen);
        for coding in [Some(file.description.coding), chosen.answers_for].into_iter().flatten() {
            let small = Small { file: Rc::clone(&file), ready: Rc::clone(&ready), dated: clock.second() };
            entry.put(coding, file.description.fresh, small);
        }
        let cost = entry.cost(key);
        small.insert(key, entry, cost);
    }
    core.publish_cache(&shelf);
    Loaded::Small(file, ready)
}

/// The entry under a key to put one more representation in, with the time of its own last look; a new one where what was seen differs.
fn entry_for<R>(map: &mut Bounded<Entry<R>>, key: &[u8], Chosen { seen, offered, .. }: &Chosen) -> Entry<R> {
    map.remove(key)
        .filter(|entry| entry.seen == *seen)
        .unwrap_or_else(|| Entry::new(seen.clone(), *offered, time::now()))
}

/// Small and large representations of one file may be side by side; those of another state of it may not, nor a file that is now of
/// the other size.
fn drop_other<R>(map: &mut Bounded<Entry<R>>, key: &[u8], seen: &Seen) {
    if map.get(key).is_some_and(|entry| entry.seen != *seen) {
        map.remove(key);
    }
}

/// Nothing is kept under this key.
fn forget(core: &Core, shelf: &mut Shelf, key: &[u8]) {
    shelf.small.remove(key);
    shelf.large.remove(key);
    core.publish_cache(shelf);
}

pub(crate) async fn read_whole(file: &fs::File, capacity: usize) -> io::Result<Option<Vec<u8>>> {
    let mut body: Vec<u8> = Vec::new();
    while body.len() < capacity {
        let target = Target::Vec(Vec::with_capacity(capacity - body.len()));
        let (result, target) = file.read_at(target, body.len() as u64).await;
        let count = result?;
        let Target::Vec(piece) = target else { return Ok(None) };
        if count == 0 {
            break;
        }
        if body.is_empty() {
            body = piece;
        } else {
            body.extend_from_slice(&piece);
        }
    }
    Ok(Some(body))
}

/// Describes a large file and shelves its descriptor. `None`: it changed while it was hashed, and stability is demanded.
async fn open_large(
    core: &Core,
    site: &Site,
    key: &[u8],
    chosen: Chosen,
    stability: Stability,
) -> io::Result<Option<Loaded>> {
    let stamp = Stamp::of(&chosen.metadata);
    let hash = match site.options.etag {
        EtagKind::ContentHash => Some(hash_whole(&chosen.file).await?),
        _ => None,
    };
    let changed = hash.is_some() && Stamp::of(&chosen.file.metadata()?) != stamp;
    if changed && stability == Stability::Demanded {
        return Ok(None);
    }
    let mut shelf = core.shelf.borrow_mut();
    let Shelf { clock, small, large, .. } = &mut *shelf;
    clock.advance(time::now());
    let mut description =
        describe(&chosen.metadata, &chosen.about, chosen.coding, site.options.etag, hash, clock.second());
    if changed {
        description.waive(chosen.metadata.size);
    }
    drop_other(small, key, &chosen.seen);
    let kept =
        (!changed && !key.contains(&b'%')).then(|| (entry_for(large, key, &chosen), chosen.answers_for));
    let said = (!changed).then_some(stamp);
    let file = chosen.file;
    let file =
        Rc::new(LargeFile { description, file, said, is_over: Cell::new(false), seen: Cell::new(None) });
    if changed {
        forget(core, &mut shelf, key);
        return Ok(Some(Loaded::Large(file)));
    }
    if let Some((mut entry, answers_for)) = kept {
        for coding in [Some(file.description.coding), answers_for].into_iter().flatten() {
            entry.put(coding, file.description.fresh, Rc::clone(&file));
        }
        let cost = entry.cost();
        large.insert(key, entry, cost);
    }
    core.publish_cache(&shelf);
    Ok(Some(Loaded::Large(file)))
}

async fn hash_whole(file: &fs::File) -> io::Result<u128> {
    const PIECE: usize = 256 << 10;
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    let mut offset = 0u64;
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        let (result, target) = file.read_at(Target::Vec(piece), offset).await;
        let count = result?;
        if count == 0 {
            return Ok(hasher.digest128());
        }
        let Target::Vec(read) = target else { return Err(io::ErrorKind::Other.into()) };
        hasher.update(&read);
        offset += count as u64;
        piece = read;
        piece.clear();
    }
}
