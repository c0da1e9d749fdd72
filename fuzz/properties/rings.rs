//! Both rings while a script writes anything anywhere in the shared memory: an error at worst, never a panic, never more than a ring holds.
use ringwheel_command::{Completion, Geometry, Memory, PendingId, Region, Rings};

const CAPACITY: u32 = 8;

/// Takes the bytes as steps of the two sides.
pub fn check(bytes: &[u8]) {
    let geometry = Geometry::new(CAPACITY, CAPACITY);
    let region = Region::owned(geometry);
    let mut script = region.script_side();
    let Rings { mut commands, mut completions } = region.rings();
    let words = geometry.bytes() / 8;
    let mut rest = bytes;
    while let Some((step, tail)) = rest.split_first() {
        rest = tail;
        match step % 8 {
            0 => {
                let _ = script.commands.push(std::array::from_fn(|_| take(&mut rest)));
            }
            1 => {
                script.commands.publish();
            }
            // Hostile: any word, the indices of both sides among them.
            2 => {
                let word = take(&mut rest) as usize % words;
                region.write(word, [take(&mut rest)]);
            }
            3 => {
                let span = if step & 8 == 0 { geometry.commands() } else { geometry.completions() };
                let word = if step & 16 == 0 { span.tail_word } else { span.head_word };
                region.store_index(word, take(&mut rest) as u32);
            }
            4 => consume(&mut commands, take(&mut rest) % 16),
            5 => {
                let pending = PendingId { slot: take(&mut rest) as u32, generation: 1 };
                let free = completions.free();
                let pushed = completions.reply(pending, -2, 0);
                if let Ok(free) = free {
                    assert!(free <= CAPACITY);
                    assert_eq!(pushed.is_ok(), free > 0);
                }
            }
            6 => assert!(completions.publish() <= CAPACITY),
            _ => {
                if let Ok(mut batch) = script.completions.batch() {
                    assert!(batch.len() <= CAPACITY as usize);
                    batch.peek().map(Completion::from_words);
                    batch.advance();
                }
            }
        }
    }
}

/// Reads at most so many commands, as a turn does.
fn consume(commands: &mut ringwheel_command::CommandReader<Region>, most: u64) {
    let Ok(mut batch) = commands.batch() else { return };
    assert!(batch.len() <= CAPACITY as usize);
    for _ in 0..most {
        let before = batch.len();
        let request = batch.request();
        assert_eq!(request.is_none(), before == 0);
        batch.advance();
        assert_eq!(batch.len(), before.saturating_sub(1));
    }
}

/// The next number: as many bytes as there are, up to eight.
fn take(rest: &mut &[u8]) -> u64 {
    let (piece, tail) = rest.split_at(rest.len().min(8));
    *rest = tail;
    let mut whole = [0; 8];
    whole[..piece.len()].copy_from_slice(piece);
    u64::from_le_bytes(whole)
}
