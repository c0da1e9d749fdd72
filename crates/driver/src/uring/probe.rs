//! What this kernel's ring can do, asked of the kernel itself: versions are never compared.
use io_uring::{IoUring, Probe, opcode};
use std::sync::OnceLock;

/// The kernel's answer. It is the same for every ring while the kernel runs, so the first ring of a process asks for all.
static ANSWER: OnceLock<Capabilities> = OnceLock::new();

/// Capabilities that change how an operation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// Accept and receive may stay armed (5.19, 6.0). Multishot receive has no opcode of its own: `SendZc` came with it.
    pub(crate) multishot: bool,
    /// A successful entry may be silent (5.17).
    pub(crate) skip_success: bool,
    /// One cancel entry can name everything in flight (5.19).
    pub(crate) cancel_any: bool,
    /// ftruncate(2) is an operation (6.9).
    pub(crate) ftruncate: bool,
    /// A ring can post to another (5.18), silently for its own side.
    pub(crate) msg_ring: bool,
}

impl Capabilities {
    /// Asks the ring, unless another has been asked.
    pub(crate) fn of(ring: &IoUring) -> Capabilities {
        if let Some(answer) = ANSWER.get() {
            return *answer;
        }
        let mut probe = Probe::new();
        // A ring that cannot be probed (5.5 and older; no memory right now) has none of these; the next is asked again.
        let probed = ring.submitter().register_probe(&mut probe).is_ok();
        let capabilities = Capabilities::in_probe(ring, &probe);
        if probed { *ANSWER.get_or_init(|| capabilities) } else { capabilities }
    }

    fn in_probe(ring: &IoUring, probe: &Probe) -> Capabilities {
        Capabilities {
            multishot: probe.is_supported(opcode::SendZc::CODE),
            skip_success: ring.params().is_feature_skip_cqe_on_success(),
            cancel_any: probe.is_supported(opcode::Socket::CODE),
            ftruncate: probe.is_supported(opcode::Ftruncate::CODE),
            msg_ring: probe.is_supported(opcode::MsgRingData::CODE)
                && ring.params().is_feature_skip_cqe_on_success(),
        }
    }
}
