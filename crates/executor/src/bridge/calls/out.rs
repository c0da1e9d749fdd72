//! Where an answer goes: into the range that the call came in or, when it is longer, into a parcel; and which step failed, and where.
use super::{parcel::Parcel, spare::Spare};
use rustix::io::Result;
use std::os::fd::OwnedFd;

/// The part of a call that failed, where a call has several: JavaScript's error names that one's system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Step {
    /// open(2).
    Open = 1,
    /// read(2).
    Read = 2,
    /// write(2).
    Write = 3,
    /// ftruncate(2).
    Truncate = 4,
    /// unlink(2).
    Unlink = 5,
    /// rmdir(2).
    RemoveDirectory = 6,
    /// scandir(3).
    List = 7,
    /// lstat(2).
    Stat = 8,
    /// The file has more bytes than the caller takes; the answer is their number, a double.
    TooLarge = 9,
    /// fsync(2).
    Sync = 10,
    /// close(2).
    Close = 11,
    /// None: what is read or written is a stream, which the caller has to wait for. The answer is the file's slot and generation, two words, where it
    /// was opened, else −1.
    Stream = 13,
    /// mkdtemp(3).
    Temporary = 12,
}

/// See the file's head.
pub(super) struct Out<'a> {
    room: &'a mut [u8],
    /// Where a parcel's memory may come from.
    pub spare: &'a Spare,
    /// Bytes of the room that were written.
    pub used: usize,
    /// The answer, when it did not fit.
    pub parcel: Option<Parcel>,
    /// Of a failure: the [`Step`] in the low 7 bits, [`CLOSE_FAILED`], and the bytes of the path at which it failed, in `room`, above.
    pub failure: u32,
    /// Of [`Step::Stream`]: the file, where it was opened.
    pub stream: Option<OwnedFd>,
}

const PATH_SHIFT: u32 = 8;
/// Closing the file failed, too: the answer is the errno of that, 4 bytes.
const CLOSE_FAILED: u32 = 0x80;

impl<'a> Out<'a> {
    pub fn new(room: &'a mut [u8], spare: &'a Spare) -> Out<'a> {
        Out { room, spare, used: 0, parcel: None, failure: 0, stream: None }
    }

    /// Answers with these bytes. Returns how many.
    pub fn put(&mut self, bytes: &[u8]) -> i32 {
        if !self.write(bytes) {
            self.parcel = Some(bytes.to_vec().into());
        }
        length(bytes.len())
    }

    /// Writes at the room's start. False when it does not fit.
    fn write(&mut self, bytes: &[u8]) -> bool {
        let Some(place) = self.room.get_mut(..bytes.len()) else { return false };
        place.copy_from_slice(bytes);
        self.used = bytes.len();
        true
    }

    /// Answers with these bytes, in their own memory when they do not fit.
    pub fn put_vec(&mut self, bytes: Vec<u8>) -> i32 {
        if bytes.len() <= self.room.len() { self.put(&bytes) } else { self.put_parcel(bytes.into()) }
    }

    pub fn put_parcel(&mut self, parcel: Parcel) -> i32 {
        let bytes = length(parcel.length());
        self.parcel = Some(parcel);
        bytes
    }

    /// Room for an answer that is read into it; set [`Out::used`] then.
    pub fn room(&mut self) -> &mut [u8] {
        self.room
    }

    /// Notes which step it is that fails, when it does.
    pub fn at<T>(&mut self, step: Step, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.failure = step as u32;
        }
        result
    }

    /// Notes what closing the file of a call that has failed already said.
    pub fn closed(&mut self, closed: Result<()>) {
        if let Err(errno) = closed
            && self.write(&errno.raw_os_error().to_le_bytes())
        {
            self.failure |= CLOSE_FAILED;
        }
    }

    /// Notes which step fails at which path.
    pub fn at_path<T>(&mut self, step: Step, path: &[u8], result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.failure = step as u32;
            if self.write(path) {
                self.failure |= (path.len() as u32) << PATH_SHIFT;
            }
        }
        result
    }

    /// It is a stream: whoever waits for that must not hold what others need.
    pub fn is_stream(&mut self, file: Option<OwnedFd>) -> rustix::io::Errno {
        self.failure = Step::Stream as u32;
        self.stream = file;
        rustix::io::Errno::AGAIN
    }

    /// A file is larger than the caller takes.
    pub fn too_large(&mut self, bytes: u64) -> rustix::io::Errno {
        self.failure = Step::TooLarge as u32;
        self.write(&(bytes as f64).to_le_bytes());
        rustix::io::Errno::FBIG
    }
}

/// A length as a result: what does not fit says the largest there is, and the parcel knows better.
fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}
