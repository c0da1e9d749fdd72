//! Where a call runs: on this thread, within a budget of each turn, or on the driver's pool.
//!
//! A call that the kernel answers from its caches costs a microsecond here, and ten on the pool. What it costs when the cache misses is
//! not known before: so a call that took long sends the next of its kind to the pool, and more of them each time that goes on.
use ringwheel_command::CallNumber;
use ringwheel_driver::preempt::now_ns;

/// What calls may take of one turn, in nanoseconds; one more begins while there is some left.
const BUDGET_NS: u64 = 500_000;
/// A call that takes longer is slow.
const SLOW_NS: u64 = 200_000;
/// Calls of its kind that go to the pool after the first slow one.
const DETOURS_FIRST: u32 = 8;
/// At most, after slow ones in a row.
const DETOURS_MAX: u32 = 1024;

/// Where a call is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Here and now.
    Here,
    /// On the pool.
    Pool,
    /// The budget is spent: in the next turn.
    NextTurn,
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    /// Calls that still go to the pool.
    detours: u32,
    /// How many that will be after the next slow one.
    penalty: u32,
}

/// See the file's head.
#[derive(Debug)]
pub(super) struct Policy {
    kinds: [Kind; KINDS],
    spent_ns: u64,
    /// When the last call of this turn ended: so that each costs one look at the clock. 0: not known.
    last_ns: u64,
    /// For measurements: every call goes to the pool.
    pub always_pool: bool,
}

const KINDS: usize = CallNumber::ALL.len() + 1;

impl Policy {
    pub fn new() -> Policy {
        Policy {
            kinds: [Kind { detours: 0, penalty: DETOURS_FIRST }; KINDS],
            spent_ns: 0,
            last_ns: 0,
            always_pool: false,
        }
    }

    /// A turn begins, with a budget of its own.
    pub fn begin_turn(&mut self) {
        (self.spent_ns, self.last_ns) = (0, 0);
    }

    /// Where the next call of this kind is to run.
    #[inline]
    pub fn place(&mut self, number: CallNumber) -> Place {
        if self.always_pool {
            return Place::Pool;
        }
        let kind = &mut self.kinds[number as usize];
        if kind.detours > 0 {
            kind.detours -= 1;
            return Place::Pool;
        }
        if self.spent_ns >= BUDGET_NS {
            return Place::NextTurn;
        }
        if self.last_ns == 0 {
            self.last_ns = now_ns();
        }
        Place::Here
    }

    /// A call that ran here has ended.
    #[inline]
    pub fn ended(&mut self, number: CallNumber) {
        let now = now_ns();
        self.took(number, now.saturating_sub(self.last_ns));
        self.last_ns = now;
    }

    fn took(&mut self, number: CallNumber, elapsed_ns: u64) {
        self.spent_ns += elapsed_ns;
        let kind = &mut self.kinds[number as usize];
        if elapsed_ns > SLOW_NS {
            kind.detours = kind.penalty;
            kind.penalty = (kind.penalty * 2).min(DETOURS_MAX);
        } else {
            kind.penalty = DETOURS_FIRST;
        }
    }

    /// Something else ran on this thread: its time is no call's.
    #[inline]
    pub fn interrupted(&mut self) {
        self.last_ns = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: CallNumber = CallNumber::Stat;

    /// Calls on the pool until one runs here again.
    fn detours(policy: &mut Policy) -> u32 {
        policy.begin_turn();
        let mut count = 0;
        while policy.place(STAT) == Place::Pool {
            count += 1;
        }
        count
    }

    #[test]
    fn slow_calls_send_ever_more_of_their_kind_to_the_pool() {
        let mut policy = Policy::new();
        assert_eq!(detours(&mut policy), 0);
        for expected in [8, 16, 32, 64, 128, 256, 512, 1024, 1024] {
            policy.took(STAT, SLOW_NS + 1);
            assert_eq!(policy.place(CallNumber::Unlink), Place::Here, "another kind is not touched");
            assert_eq!(detours(&mut policy), expected);
        }
        policy.took(STAT, SLOW_NS);
        assert_eq!(detours(&mut policy), 0);
        policy.took(STAT, SLOW_NS + 1);
        assert_eq!(detours(&mut policy), 8, "a quick one forgives");
    }

    #[test]
    fn a_turn_has_its_budget() {
        let mut policy = Policy::new();
        policy.took(STAT, BUDGET_NS - 1);
        assert_eq!(policy.place(CallNumber::Unlink), Place::Here);
        policy.took(CallNumber::Unlink, 1);
        assert_eq!(policy.place(CallNumber::Unlink), Place::NextTurn);
        policy.begin_turn();
        assert_eq!(policy.place(CallNumber::Unlink), Place::Here);
    }

    #[test]
    fn every_call_has_a_place_in_the_table() {
        for (number, _) in CallNumber::ALL {
            assert!((*number as usize) < KINDS);
        }
    }
}
