//! tokio-uring: `peer-tokio-uring WHAT …` prints one line of JSON; `measure::contender!` says which.
use measure::{Block, ECHO_BYTES, ReadRun};
use std::{net::TcpListener, rc::Rc};
use tokio_uring::buf::{BoundedBuf, IoBuf, IoBufMut};

fn on<F: Future>(future: F) -> F::Output {
    tokio_uring::builder().entries(1024).start(tokio::task::unconstrained(future))
}

measure::contender! {
    on: on,
    spawn: |future| tokio_uring::spawn(future),
    join: |task| task.await.expect("not cancelled"),
    sleep: tokio::time::sleep,
    reads: reads,
    echo: echo,
}

/// An aligned block as tokio-uring wants its buffers.
struct Buffer(Box<Block>, usize);

// SAFETY: needs a pointer that stays valid while the value moves, to initialised bytes. Holds: the block is on the heap, and zeroed.
// Checked: every read compares what came.
unsafe impl IoBuf for Buffer {
    fn stable_ptr(&self) -> *const u8 {
        self.0.0.as_ptr()
    }
    fn bytes_init(&self) -> usize {
        self.1
    }
    fn bytes_total(&self) -> usize {
        measure::BLOCK
    }
}

// SAFETY: as above, and writable: the value owns the block.
unsafe impl IoBufMut for Buffer {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.0.0.as_mut_ptr()
    }
    unsafe fn set_init(&mut self, bytes: usize) {
        self.1 = bytes;
    }
}

fn reads(run: ReadRun) {
    on(async move {
        let file = Rc::new(tokio_uring::fs::File::from_std(run.open()));
        let reader = |number| {
            let (file, mut reader) = (file.clone(), run.reader(number));
            async move {
                let mut buffer = Buffer(Block::boxed(), 0);
                while let Some(offset) = reader.next_offset() {
                    let (read, back) = file.read_at(buffer, offset).await;
                    reader.got(&back.0.0[..read.expect("the read succeeds")]);
                    buffer = back;
                }
            }
        };
        let readers: Vec<_> = (0..run.depth).map(|number| tokio_uring::spawn(reader(number))).collect();
        for reader in readers {
            reader.await.expect("not cancelled");
        }
        run.finish();
    });
}

fn echo(listener: TcpListener) {
    on(async move {
        let listener = tokio_uring::net::TcpListener::from_std(listener);
        loop {
            let (stream, _) = listener.accept().await.expect("a connection comes");
            let _ = stream.set_nodelay(true);
            tokio_uring::spawn(async move {
                let mut buffer = vec![0; ECHO_BYTES];
                loop {
                    let (read, back) = stream.read(buffer).await;
                    let Ok(read @ 1..) = read else { return };
                    let (written, back) = stream.write_all(back.slice(..read)).await;
                    buffer = back.into_inner();
                    if written.is_err() {
                        return;
                    }
                }
            });
        }
    });
}
