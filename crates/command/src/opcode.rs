//! The closed list of commands: number, arguments, units, and what each becomes.

/// What a command asks for. 0 is no opcode, so that memory nobody wrote is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// Completes with 0 in the same turn. Arguments: none.
    Nop = 1,
    /// pread(2). Arguments: file, lease (offset, length), operand = byte position or −1. Result: bytes read, 0 at the end.
    Read = 2,
    /// pwrite(2). Arguments: file, lease (offset, length), operand = byte position or −1. Result: bytes written.
    Write = 3,
    /// fsync(2). Arguments: file. Result: 0.
    Sync = 4,
    /// fdatasync(2). Arguments: file. Result: 0.
    Datasync = 5,
    /// ftruncate(2). Arguments: file, operand = new length in bytes. Result: 0.
    Truncate = 6,
    /// Closes the file once its operations in flight are done. Arguments: file. Result: 0.
    Close = 8,
    /// Ends another command early. Its pending slot and generation name that *other* command, which completes once, with
    /// −ECANCELED or with its result when that was faster. CANCEL itself has no completion; one that names nothing is ignored.
    Cancel = 10,
    /// A system call that is no read or write: what the request block in the lease says ([`crate::call`]). Arguments: lease
    /// (offset, length = bytes of the block), file where the call is about one. The answer goes into the lease, from the same offset on, or,
    /// when it is longer than that, into a parcel. Result: by call; flags: the parcel's number or 0, and of a failure its step.
    Call = 11,
    /// Many preads into one lease. Arguments: file, lease, operand = where in the lease its table starts (see
    /// [`crate::ranges`]). Result: 0 when all have ended; the table has the result of each.
    ReadMany = 12,
    /// preadv(2) into parts of leases. Arguments: file, lease (offset 0, length) with their table at its start (see [`crate::parts`]), operand = byte
    /// position or −1. Result: bytes read, 0 at the end.
    Readv = 13,
    /// pwritev(2) from parts of leases. Arguments as for [`Opcode::Readv`]. Result: bytes written.
    Writev = 14,
    /// poll(2) of one file, until it is ready. Arguments: file, operand = 1 (POLLIN) or 4 (POLLOUT). Result: the bits that are set. What is read or
    /// written then needs no memory before.
    Ready = 15,
}

impl Opcode {
    /// Every opcode with its name in TypeScript, in the order of their numbers.
    pub const ALL: [(Opcode, &'static str); 13] = [
        (Opcode::Nop, "NOP"),
        (Opcode::Read, "READ"),
        (Opcode::Write, "WRITE"),
        (Opcode::Sync, "SYNC"),
        (Opcode::Datasync, "DATASYNC"),
        (Opcode::Truncate, "TRUNCATE"),
        (Opcode::Close, "CLOSE"),
        (Opcode::Cancel, "CANCEL"),
        (Opcode::Call, "CALL"),
        (Opcode::ReadMany, "READ_MANY"),
        (Opcode::Readv, "READV"),
        (Opcode::Writev, "WRITEV"),
        (Opcode::Ready, "READY"),
    ];

    /// The opcode with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Opcode> {
        Some(match number {
            1 => Opcode::Nop,
            2 => Opcode::Read,
            3 => Opcode::Write,
            4 => Opcode::Sync,
            5 => Opcode::Datasync,
            6 => Opcode::Truncate,
            8 => Opcode::Close,
            10 => Opcode::Cancel,
            11 => Opcode::Call,
            12 => Opcode::ReadMany,
            13 => Opcode::Readv,
            14 => Opcode::Writev,
            15 => Opcode::Ready,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_opcodes_are_one_to_one() {
        let mut found = Vec::new();
        for number in 0..=u8::MAX {
            if let Some(opcode) = Opcode::from_number(number) {
                assert_eq!(opcode as u8, number);
                found.push(opcode);
            }
        }
        assert_eq!(found, Opcode::ALL.map(|(opcode, _)| opcode));
    }
}
