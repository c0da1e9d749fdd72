//! Pipeline step 3d: a representation that is packed on the fly. The first who asks for it waits while a thread of the server packs it.
use crate::{
    compress::{Admission, Method, Outcome, Packed},
    core::Core,
    file::{Loaded, Stamp, describe},
    http::{
        etag::{self, EtagKind},
        head::Description,
    },
    load::{Chosen, read_whole, shelve_small},
    site::Site,
};
use ringwheel_executor::time;
use std::{io, time::Duration};

/// How long somebody waits for it. Then the file comes as it is, and the packed one is there for those who come later.
const WAIT: Duration = Duration::from_secs(5);

/// What trying to pack came to.
pub(crate) enum Tried {
    /// It is packed, and on the shelf.
    Loaded(Loaded),
    /// The file, in this version, is to be sent as it is.
    NoGain,
    /// The file is to be sent as it is for once: too much waits to be packed, or this took too long.
    NotNow,
    /// The file changed while it was read, or whoever read it gave up.
    Again,
}

/// Loads the coding that is wanted of a file that is not packed.
pub(crate) async fn pack(core: &Core, site: &Site, key: &[u8], chosen: &Chosen) -> io::Result<Tried> {
    let Some(method) = site.options.compress.and_then(|compress| compress.method(chosen.wanted)) else {
        return Ok(Tried::NotNow);
    };
    let stamp = Stamp::of(&chosen.metadata);
    let fresh = {
        let clock = &mut core.shelf.borrow_mut().clock;
        clock.advance(time::now());
        etag::is_fresh(chosen.metadata.modified_seconds, clock.second())
    };
    let size = usize::try_from(chosen.metadata.size).unwrap_or(usize::MAX);
    // The stamp of a fresh file does not stand for its bytes.
    let name = if fresh { None } else { Some(method.key(&stamp)) };
    let job = match core.post.control.compressor.admit(name, size) {
        Admission::Known(outcome) => return Ok(finish(core, site, key, chosen, (method, fresh), outcome)),
        Admission::Busy => return Ok(Tried::NotNow),
        Admission::UnderWay(job) => job,
        Admission::Permit(permit) => {
            let body = read_whole(&chosen.file, size + 1).await?;
            let Some(body) = body.filter(|body| body.len() == size) else { return Ok(Tried::Again) };
            if Stamp::of(&chosen.file.metadata()?) != stamp {
                return Ok(Tried::Again);
            }
            core.counters().compressions.add(1);
            permit.run(body, method)
        }
    };
    match time::timeout(WAIT, job.wait()).await {
        Ok(outcome) => Ok(finish(core, site, key, chosen, (method, fresh), outcome)),
        Err(_) => Ok(Tried::NotNow),
    }
}

fn finish(
    core: &Core,
    site: &Site,
    key: &[u8],
    chosen: &Chosen,
    (method, fresh): (Method, bool),
    outcome: Outcome,
) -> Tried {
    match outcome {
        Outcome::Packed(packed) => {
            let description = describe_packed(core, site, chosen, (method, fresh), &packed);
            Tried::Loaded(shelve_small(core, site, key, chosen, description, &packed.bytes))
        }
        Outcome::NoGain => Tried::NoGain,
        Outcome::Abandoned => Tried::Again,
    }
}

fn describe_packed(
    core: &Core,
    site: &Site,
    chosen: &Chosen,
    (method, fresh): (Method, bool),
    packed: &Packed,
) -> Description {
    let shelf = &mut *core.shelf.borrow_mut();
    shelf.clock.advance(time::now());
    let kind = site.options.etag;
    let hash = Some(packed.hash);
    let mut description =
        describe(&chosen.metadata, &chosen.about, method.coding, kind, hash, shelf.clock.second());
    description.size = packed.bytes.len() as u64;
    // It may have stopped being fresh while it was packed: what counts is when it was read.
    description.fresh |= fresh;
    if kind != EtagKind::ContentHash {
        description.etag = etag::with_hash(description.etag, packed.hash as u64);
    }
    description
}
