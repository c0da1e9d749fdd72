//! Shares of the disk for JavaScript's reads and writes: what exceeds the depth waits here, by the task queues that asked.
use crate::io::{Adaptive, AdaptiveStats, CLASSES, Class, Costs, Grant, Scheduler, work};
use ringwheel_command::PendingId;
use ringwheel_driver::{Operation, preempt::now_ns};
use std::collections::VecDeque;

/// Whose operation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A command's, which is one operation.
    Command(PendingId),
    /// A part's of a batch.
    Part {
        /// The place of its batch.
        index: u32,
        /// Which of its parts.
        part: u32,
    },
}

/// The scheduler before the desk. A lying script may name one pending slot twice: it loses shares by that, never an operation.
#[derive(Debug)]
pub(super) struct Shares {
    /// What waits is an index of `waiting`.
    scheduler: Scheduler<u32>,
    costs: Costs,
    classes: [Class; CLASSES],
    waiting: Vec<Option<(Asker, Operation)>>,
    free: Vec<u32>,
    /// Found no room in the driver, or were taken back for another reason; they go first.
    ready: VecDeque<(Asker, Operation, Option<Grant>)>,
    /// Pending slot → generation and grant of what is in flight. A batch keeps its parts' grants itself.
    grants: Vec<Option<(u32, Grant)>>,
    /// Were cancelled, and still have their place in the scheduler.
    cancelled: u64,
}

/// Where an operation is to go.
pub(super) enum Way {
    /// To the driver; [`Shares::sent`] keeps the grant.
    Now(Operation, Option<Grant>),
    /// It waits under this index.
    Later(u32),
}

impl Shares {
    pub fn new(adaptive: &Adaptive) -> Shares {
        let class = |index| Class { index: index as u8, shares: 100, urgent: false };
        Shares {
            scheduler: Scheduler::new(adaptive.depth()),
            costs: adaptive.costs(),
            classes: std::array::from_fn(class),
            waiting: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            grants: Vec::new(),
            cancelled: 0,
        }
    }

    /// Sets what a class is. Beyond the last one: nothing.
    pub fn set_class(&mut self, index: u32, shares: u32, urgent: bool) {
        if let Some(class) = self.classes.get_mut(index as usize) {
            (class.shares, class.urgent) = (shares.max(1), urgent);
        }
    }

    pub fn stats(&self) -> AdaptiveStats {
        let stats = self.scheduler.stats();
        AdaptiveStats { waiting: stats.waiting - self.cancelled, ..stats }
    }

    /// Asks for leave to submit.
    pub fn ask(&mut self, queue: u16, asker: Asker, operation: Operation) -> Way {
        let Some(work) = work(&self.costs, &operation) else { return Way::Now(operation, None) };
        let class = self.classes.get(usize::from(queue)).copied().unwrap_or(self.classes[0]);
        let mut operation = Some(operation);
        let (waiting, free) = (&mut self.waiting, &mut self.free);
        let mut place = 0;
        let granted = self.scheduler.ask(class, work, now_ns(), || {
            let entry = operation.take().map(|operation| (asker, operation));
            place = free.pop().unwrap_or_else(|| {
                waiting.push(None);
                waiting.len() as u32 - 1
            });
            waiting[place as usize] = entry;
            place
        });
        match operation {
            Some(operation) => Way::Now(operation, granted),
            None => Way::Later(place),
        }
    }

    /// An operation that may go now. Call it until there is none.
    pub fn next(&mut self) -> Option<(Asker, Operation, Option<Grant>)> {
        if let Some(ready) = self.ready.pop_front() {
            return Some(ready);
        }
        let now = now_ns();
        while let Some((place, grant)) = self.scheduler.pick(now) {
            self.free.push(place);
            match self.waiting.get_mut(place as usize).and_then(Option::take) {
                Some((asker, operation)) => return Some((asker, operation, Some(grant))),
                None => {
                    self.cancelled -= 1;
                    self.scheduler.returned(grant);
                }
            }
        }
        None
    }

    /// True when [`Shares::next`] may have something.
    pub fn has_next(&self) -> bool {
        !self.ready.is_empty() || self.scheduler.has_next()
    }

    /// The driver has no room: it goes first next time.
    pub fn keep(&mut self, asker: Asker, operation: Operation, grant: Option<Grant>) {
        self.ready.push_front((asker, operation, grant));
    }

    /// The driver has it.
    pub fn sent(&mut self, pending: PendingId, grant: Option<Grant>) {
        let Some(grant) = grant else { return };
        let slot = pending.slot as usize;
        if slot >= self.grants.len() {
            self.grants.resize(slot + 1, None);
        }
        match &mut self.grants[slot] {
            empty @ None => *empty = Some((pending.generation, grant)),
            Some(_) => self.scheduler.returned(grant), // A script that uses a slot twice.
        }
    }

    /// It never reached the driver.
    pub fn returned(&mut self, grant: Option<Grant>) {
        if let Some(grant) = grant {
            self.scheduler.returned(grant);
        }
    }

    /// Something that the driver had has ended.
    pub fn ended(&mut self, pending: PendingId) {
        if let Some(place) = self.grants.get_mut(pending.slot as usize)
            && let Some((_, grant)) = place.take_if(|(generation, _)| *generation == pending.generation)
        {
            self.completed(grant);
        }
    }

    /// Granted work has ended.
    pub fn completed(&mut self, grant: Grant) {
        self.scheduler.completed(grant, now_ns());
    }

    /// Takes one that waits out, for a cancel.
    pub fn take(&mut self, asker: Asker, place: u32) -> Option<Operation> {
        let found = self.waiting.get_mut(place as usize)?;
        let (_, operation) = found.take_if(|(waiting, _)| *waiting == asker)?;
        self.cancelled += 1;
        Some(operation)
    }

    /// Takes one out that the driver had no room for, for a cancel.
    pub fn take_ready(&mut self, asker: Asker) -> Option<Operation> {
        let index = self.ready.iter().position(|(ready, _, _)| *ready == asker)?;
        let (_, operation, grant) = self.ready.remove(index)?;
        self.returned(grant);
        Some(operation)
    }
}
