//! Any 64 bytes decode to a request that keeps every rule, or to a reject that names a rule.
use ringwheel_command::{
    Action, Command, LeaseRange, Opcode, Position, Reject,
    call::{BLOCK_HEADER, BLOCK_MAX},
    decode::decode,
    layout::{CLASSES, LENGTH_MAX, PENDING_CAPACITY, SAFE_INTEGER_MAX},
    reply::REJECT_CEILING,
};

/// Takes the bytes as commands, the last one filled up with zeros.
pub fn check(bytes: &[u8]) {
    for chunk in bytes.chunks(64) {
        let mut words = [0; 8];
        for (word, piece) in words.iter_mut().zip(chunk.chunks(8)) {
            let mut whole = [0; 8];
            whole[..piece.len()].copy_from_slice(piece);
            *word = u64::from_le_bytes(whole);
        }
        check_command(&Command::from_words(words));
    }
}

/// Checks everything that `decode` promises about its answer.
pub fn check_command(command: &Command) {
    match decode(command) {
        Err(Reject { pending, code }) => {
            assert!(code.result() < REJECT_CEILING);
            if let Some(pending) = pending {
                assert!(pending.slot < PENDING_CAPACITY);
                assert_ne!(command.opcode, Opcode::Cancel as u8);
            }
        }
        Ok(request) => {
            assert!(request.pending.slot < PENDING_CAPACITY);
            assert_eq!((command.flags, command.zero, command.zeros), (0, 0, [0, 0]));
            assert!(request.queue == command.queue && request.queue < CLASSES);
            match request.action {
                Action::Read { lease, position, .. } | Action::Write { lease, position, .. } => {
                    inside(lease);
                    if let Position::At(offset) = position {
                        assert!(offset <= SAFE_INTEGER_MAX && offset as f64 == command.operand);
                    }
                }
                Action::Call { lease, .. } => {
                    inside(lease);
                    assert!((BLOCK_HEADER..=BLOCK_MAX).contains(&(lease.length as usize)));
                }
                Action::ReadMany { lease, table, .. } => {
                    inside(lease);
                    assert_eq!(f64::from(table), command.operand.abs());
                }
                Action::Readv { lease, .. } | Action::Writev { lease, .. } => {
                    inside(lease);
                    assert_eq!(lease.offset, 0);
                }
                Action::Truncate { length, .. } => assert_eq!(length as f64, command.operand),
                Action::Ready { events, .. } => assert_eq!(f64::from(events), command.operand),
                Action::Nop
                | Action::Sync { .. }
                | Action::Datasync { .. }
                | Action::Close { .. }
                | Action::Cancel => {}
            }
        }
    }
}

fn inside(lease: LeaseRange) {
    assert!(lease.length <= LENGTH_MAX);
    assert!(u64::from(lease.offset) + u64::from(lease.length) <= u64::from(u32::MAX));
}
