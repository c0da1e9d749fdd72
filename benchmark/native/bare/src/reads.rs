//! Random reads: fixed file 0, a fixed buffer for each read in flight.
use io_uring::{IoUring, opcode, types};
use measure::{BLOCK, Block, ReadRun};
use rustix::io::IoSliceMut;
use std::os::fd::AsRawFd;

/// One `submit_and_wait` for all that has completed since the last.
pub(crate) fn reads(run: ReadRun) {
    let file = run.open();
    let mut ring = crate::ring(256);
    ring.submitter().register_files(&[file.as_raw_fd()]).expect("a file can be registered");
    let mut blocks: Vec<Box<Block>> = (0..run.depth).map(|_| Block::boxed()).collect();
    register(&ring, &mut blocks);
    let mut readers: Vec<_> = (0..run.depth).map(|number| run.reader(number)).collect();
    let mut idle: Vec<usize> = (0..run.depth).collect();
    let mut in_flight = 0;
    let mut done: Vec<(usize, i32)> = Vec::with_capacity(run.depth);
    loop {
        for number in idle.drain(..) {
            let Some(offset) = readers[number].next_offset() else { continue };
            let target = blocks[number].0.as_mut_ptr();
            let read = opcode::ReadFixed::new(types::Fixed(0), target, BLOCK as u32, number as u16);
            let entry = read.offset(offset).build().user_data(number as u64);
            // SAFETY: `push` needs the target valid until the completion. Holds: the block is on the heap, and `blocks` lives
            // until nothing is in flight. Checked: every read compares what came.
            unsafe { crate::push(&mut ring, &entry) };
            in_flight += 1;
        }
        if in_flight == 0 {
            break;
        }
        ring.submit_and_wait(1).expect("the kernel takes entries");
        done.extend(ring.completion().map(|entry| (entry.user_data() as usize, entry.result())));
        for (number, result) in done.drain(..) {
            let read = usize::try_from(result).expect("the read succeeds");
            readers[number].got(&blocks[number].0[..read]);
            idle.push(number);
            in_flight -= 1;
        }
    }
    drop(readers);
    run.finish();
}

fn register(ring: &IoUring, blocks: &mut [Box<Block>]) {
    let mut slices: Vec<IoSliceMut<'_>> =
        blocks.iter_mut().map(|block| IoSliceMut::new(&mut block.0)).collect();
    let vectors = slices.as_mut_ptr().cast();
    // SAFETY: `IoSliceMut` has the layout of iovec by its documentation, and there are as many.
    let vectors = unsafe { std::slice::from_raw_parts(vectors, slices.len()) };
    // SAFETY: `register_buffers` needs the memory valid until the ring is gone. Holds: `blocks` outlives `ring` in `reads`, where
    // it was made later but is moved nowhere, and the ring is idle when both go. Checked: every read compares what came.
    unsafe { ring.submitter().register_buffers(vectors) }.expect("there is locked memory for the buffers");
}
