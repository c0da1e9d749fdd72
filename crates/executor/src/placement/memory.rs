//! set_mempolicy(2) for the calling thread: what it allocates comes from one NUMA node while that has free memory.
//!
//! A policy of the thread and not mbind(2) of the arena, because the policy also covers what has no address of ours yet: the
//! kernel's side of the rings, task memory, stacks. Neither call has a wrapper in libc or rustix.

/// Takes memory from `node` first.
///
/// # Errors
/// A sentence for a note: why the kernel's default stays.
#[cfg(target_os = "linux")]
pub(super) fn prefer(node: usize) -> Result<(), String> {
    /// Bits of a mask; Linux has at most 1024 nodes.
    const BITS: usize = 1024;
    /// The kernel takes one bit less than it is told (`get_nodes` in mm/mempolicy.c).
    const BITS_TOLD: usize = BITS + 1;
    let refused = |call: &str| {
        let error = std::io::Error::last_os_error();
        format!(
            "memory is not bound to node {node}: {call}: {error}; the kernel's default holds, the node of the first touch"
        )
    };
    if node >= BITS {
        return Err(format!("memory is not bound to node {node}: Linux numbers nodes below {BITS}"));
    }
    let mut mode: libc::c_int = libc::MPOL_DEFAULT;
    // SAFETY: get_mempolicy(2) needs room for one int; null for the mask and the address ask for the thread's mode alone.
    // Holds: `mode` lives here. Checked: `memory_comes_from_the_node_of_the_seat` in tests/placement.rs.
    let asked = unsafe {
        libc::syscall(
            libc::SYS_get_mempolicy,
            &raw mut mode,
            std::ptr::null_mut::<u64>(),
            0_usize,
            std::ptr::null_mut::<u8>(),
            0_usize,
        )
    };
    if asked != 0 {
        return Err(refused("get_mempolicy"));
    }
    if mode != libc::MPOL_DEFAULT && mode != libc::MPOL_PREFERRED {
        return Err(format!(
            "memory is not bound to node {node}: the process was started with a policy of its own (numactl), which stays"
        ));
    }
    let mut mask = [0_u64; BITS / 64];
    mask[node / 64] = 1 << (node % 64);
    // SAFETY: set_mempolicy(2) needs a mask of as many bits as it is told, which it reads during the call only. Holds: it reads
    // one bit less than BITS_TOLD, and `mask` has BITS. Checked: as above.
    let set = unsafe {
        libc::syscall(
            libc::SYS_set_mempolicy,
            libc::c_long::from(libc::MPOL_PREFERRED),
            mask.as_ptr(),
            BITS_TOLD,
        )
    };
    if set != 0 {
        return Err(refused("set_mempolicy"));
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn prefer(node: usize) -> Result<(), String> {
    Err(format!("memory is not bound to node {node}: that needs Linux"))
}
