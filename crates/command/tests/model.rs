//! Both rings against a `VecDeque`: whatever the two sides do in whatever order, nothing is lost, repeated or reordered.
#![expect(clippy::unwrap_used, reason = "in a test a broken promise is a failed test")]

use proptest::prelude::*;
use ringwheel_command::{
    Command, Completion, Consumer, Geometry, Memory, PendingId, Producer, Region, RejectCode, RingError,
    Rings, ScriptSide,
};
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug)]
enum Step {
    Push,
    Publish,
    /// Consume at most so many of a batch.
    Consume(usize),
    /// Look at a batch and leave it.
    Peek,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Push),
        2 => Just(Step::Publish),
        2 => (0usize..10).prop_map(Step::Consume),
        1 => Just(Step::Peek),
    ];
    prop::collection::vec(step, 1..400)
}

/// Runs the steps on one ring and on a model of three queues' worth of state.
fn run<const WORDS: usize>(
    mut producer: Producer<Region, WORDS>,
    mut consumer: Consumer<Region, WORDS>,
    capacity: usize,
    steps: &[Step],
) {
    let (mut staged, mut visible) = (VecDeque::new(), VecDeque::new());
    let mut next = 0u64;
    for step in steps {
        match *step {
            Step::Push => {
                let words: [u64; WORDS] = std::array::from_fn(|word| next.wrapping_mul(31) + word as u64);
                let result = producer.push(words);
                if staged.len() + visible.len() == capacity {
                    assert_eq!(result, Err(RingError::Full));
                    assert_eq!(producer.free(), Ok(0));
                } else {
                    assert_eq!(result, Ok(()));
                    staged.push_back(words);
                    next += 1;
                }
            }
            Step::Publish => {
                assert_eq!(producer.publish() as usize, staged.len());
                visible.append(&mut staged);
            }
            Step::Consume(most) => {
                assert_eq!(consumer.has_entries(), !visible.is_empty());
                let mut batch = consumer.batch().unwrap();
                assert_eq!(batch.len(), visible.len());
                for _ in 0..most {
                    assert_eq!(batch.peek(), visible.pop_front());
                    batch.advance();
                }
            }
            Step::Peek => assert_eq!(consumer.batch().unwrap().peek(), visible.front().copied()),
        }
        assert_eq!(producer.free().unwrap() as usize, capacity - staged.len() - visible.len());
    }
}

proptest! {
    #[test]
    fn the_command_ring_is_a_bounded_queue(power in 0u32..4, steps in steps()) {
        let geometry = Geometry::new(1 << power, 1);
        let region = Region::owned(geometry);
        run(region.script_side().commands, region.rings().commands, 1 << power, &steps);
    }

    #[test]
    fn indices_run_through_the_end_of_u32(power in 0u32..4, before in 0u32..20, steps in steps()) {
        let span = Geometry::new(1 << power, 1).commands();
        let region = Region::owned(Geometry::new(1 << power, 1));
        let start = 0u32.wrapping_sub(before);
        region.store_index(span.tail_word, start);
        region.store_index(span.head_word, start);
        let producer = Producer::starting_at(region.clone(), span, start);
        run::<8>(producer, Consumer::starting_at(region, span, start), 1 << power, &steps);
    }

    #[test]
    fn the_completion_ring_is_a_bounded_queue(power in 0u32..4, steps in steps()) {
        let geometry = Geometry::new(1, 1 << power);
        let region = Region::owned(geometry);
        let producer = Producer::new(region.clone(), geometry.completions());
        run::<2>(producer, region.script_side().completions, 1 << power, &steps);
    }

    #[test]
    fn hostile_indices_are_errors_and_consume_nothing(tail in any::<u32>(), head in any::<u32>()) {
        let geometry = Geometry::new(8, 8);
        let region = Region::owned(geometry);
        let Rings { mut commands, mut completions } = region.rings();
        region.store_index(geometry.commands().tail_word, tail);
        region.store_index(geometry.completions().head_word, head);
        match commands.batch() {
            Ok(batch) => prop_assert!(tail <= 8 && batch.len() == tail as usize),
            Err(error) => prop_assert_eq!(error, RingError::Corrupt { ours: 0, theirs: tail, capacity: 8 }),
        }
        prop_assert_eq!(region.load_index(geometry.commands().head_word), 0);
        // Nothing was published, so the only true head is 0.
        prop_assert_eq!(completions.free().is_ok(), head == 0);
    }
}

#[test]
fn a_full_completion_ring_keeps_everything_until_there_is_room() {
    let region = Region::owned(Geometry::new(4, 2));
    let Rings { mut completions, .. } = region.rings();
    let ScriptSide { completions: mut reader, .. } = region.script_side();
    let pending = |slot| PendingId { slot, generation: 9 };
    completions.reply(pending(1), 4096, 0).unwrap();
    completions.reply(pending(2), -2, 0).unwrap();
    assert_eq!(completions.reply(pending(3), 0, 0), Err(RingError::Full));
    completions.publish();
    let mut batch = reader.batch().unwrap();
    let first = Completion::from_words(batch.peek().unwrap());
    assert_eq!(first, Completion { pending_slot: 1, pending_generation: 9, result: 4096, flags: 0 });
    batch.advance();
    drop(batch);
    completions.reply(pending(3), RejectCode::StaleFile.result(), 0).unwrap();
    completions.publish();
    let mut batch = reader.batch().unwrap();
    for (slot, result) in [(2, -2), (3, -100_010)] {
        let completion = Completion::from_words(batch.peek().unwrap());
        assert_eq!((completion.pending_slot, completion.result), (slot, result));
        batch.advance();
    }
    assert!(batch.is_empty());
}

#[test]
fn a_command_left_in_the_ring_is_there_next_turn() {
    let region = Region::owned(Geometry::new(4, 4));
    let mut script = region.script_side();
    let mut rings = region.rings();
    for slot in 0..4 {
        let command = Command { opcode: 1, pending_slot: slot, ..Command::ZERO };
        script.commands.push(command.to_words()).unwrap();
    }
    script.commands.publish();
    let mut batch = rings.commands.batch().unwrap();
    assert_eq!(batch.request().unwrap().unwrap().pending.slot, 0);
    batch.advance();
    drop(batch); // The driver was full after one: three stay.
    assert_eq!(script.commands.free(), Ok(1));
    let batch = rings.commands.batch().unwrap();
    assert_eq!(batch.len(), 3);
    assert_eq!(batch.request().unwrap().unwrap().pending.slot, 1);
}
