//! Any 64 bytes decode to a request that keeps every rule, or to a reject that names the first rule broken.
#[path = "../../../fuzz/properties/decode.rs"]
mod property;

use property::{check, check_command};
use proptest::prelude::*;
use ringwheel_command::{
    Action, Command, FileId, LeaseRange, Opcode, PendingId, Position, Reject, RejectCode,
    decode::decode,
    layout::{LENGTH_MAX, PENDING_CAPACITY, SAFE_INTEGER_MAX},
};

/// Doubles that are likely to be wrong.
fn operand() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        (-2.0f64..1e7),
        (0u64..1 << 54).prop_map(|integer| integer as f64),
        prop::sample::select(vec![
            0.0,
            -0.0,
            -1.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            SAFE_INTEGER_MAX as f64,
            SAFE_INTEGER_MAX as f64 + 1.0,
            u64::MAX as f64
        ]),
    ]
}

prop_compose! {
    /// A command with a known opcode and mostly legal fields, so that the rules behind the first ones are reached too.
    fn plausible()(
        opcode in 1u8..=17, flags in prop_oneof![9 => Just(0u8), 1 => any::<u8>()],
        queue in prop_oneof![9 => Just(0u16), 1 => any::<u16>()],
        pending_slot in prop_oneof![9 => 0..PENDING_CAPACITY, 1 => any::<u32>()],
        names in any::<[u32; 5]>(),
        lease_offset in prop_oneof![0u32..65536, any::<u32>()], length in prop_oneof![0u32..4096, any::<u32>()],
        zero in prop_oneof![9 => Just(0u32), 1 => any::<u32>()], operand in operand(),
    ) -> Command {
        let [pending_generation, file_slot, file_generation, lease_slot, lease_generation] = names;
        Command {
            opcode, flags, queue, pending_slot, pending_generation, file_slot, file_generation, lease_slot,
            lease_generation, lease_offset, length, zero, operand, zeros: [0, 0],
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]
    #[test]
    fn any_64_bytes_are_decoded_or_rejected(words in any::<[u64; 8]>()) {
        check_command(&Command::from_words(words));
        check(&words.map(u64::to_le_bytes).concat());
    }

    #[test]
    fn plausible_commands_keep_every_rule(command in plausible()) {
        check_command(&command);
    }
}

const READ: Command = Command {
    opcode: Opcode::Read as u8,
    flags: 0,
    queue: 0,
    pending_slot: 5,
    pending_generation: 6,
    file_slot: 1,
    file_generation: 2,
    lease_slot: 3,
    lease_generation: 4,
    lease_offset: 100,
    length: 4096,
    zero: 0,
    operand: 8192.0,
    zeros: [0, 0],
};

#[test]
fn a_read_is_decoded_field_by_field() {
    let request = decode(&READ).unwrap();
    assert_eq!(request.pending, PendingId { slot: 5, generation: 6 });
    let file = FileId { slot: 1, generation: 2 };
    let lease = LeaseRange { slot: 3, generation: 4, offset: 100, length: 4096 };
    assert_eq!(request.action, Action::Read { file, lease, position: Position::At(8192) });
    let current = decode(&Command { operand: -1.0, ..READ }).unwrap();
    assert_eq!(current.action, Action::Read { file, lease, position: Position::Current });
    assert_eq!((request.queue, decode(&Command { queue: 63, ..READ }).unwrap().queue), (0, 63));
    assert_eq!((Position::At(3).offset(), Position::Current.offset()), (3, u64::MAX));
}

#[test]
fn each_rule_has_its_code() {
    use RejectCode as Code;
    let truncate = Command { opcode: Opcode::Truncate as u8, ..READ };
    let cases = [
        (Command { opcode: 0, ..READ }, Code::Opcode),
        (Command { opcode: 255, ..READ }, Code::Opcode),
        (Command { flags: 1, ..READ }, Code::Flags),
        (Command { queue: 64, ..READ }, Code::Queue),
        (Command { zero: 1, ..READ }, Code::Reserved),
        (Command { zeros: [0, 1], ..READ }, Code::Reserved),
        (Command { length: LENGTH_MAX + 1, ..READ }, Code::Length),
        (Command { lease_offset: u32::MAX, ..READ }, Code::LeaseRange),
        (Command { operand: 0.5, ..READ }, Code::Position),
        (Command { operand: -2.0, ..READ }, Code::Position),
        (Command { operand: f64::NAN, ..READ }, Code::Position),
        (Command { operand: 9_007_199_254_740_992.0, ..READ }, Code::Position),
        (Command { operand: -1.0, ..truncate }, Code::Position),
        (Command { opcode: 7, ..READ }, Code::Opcode),
        (Command { operand: f64::INFINITY, ..truncate }, Code::Position),
        (Command { operand: f64::NAN, ..truncate }, Code::Position),
        (Command { opcode: 9, ..READ }, Code::Opcode), // It was a sleep once.
    ];
    for (command, code) in cases {
        let pending = Some(PendingId { slot: 5, generation: 6 });
        assert_eq!(decode(&command), Err(Reject { pending, code }), "{command:?}");
    }
    let nobody = Command { pending_slot: PENDING_CAPACITY, ..READ };
    assert_eq!(decode(&nobody), Err(Reject { pending: None, code: Code::Pending }));
    let cancel = Command { opcode: Opcode::Cancel as u8, flags: 1, ..READ };
    assert_eq!(decode(&cancel), Err(Reject { pending: None, code: Code::Flags }));
}
