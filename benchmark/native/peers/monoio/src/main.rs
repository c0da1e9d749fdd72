//! monoio: `peer-monoio WHAT …` prints one line of JSON; `measure::contender!` says which.
use measure::{Block, ECHO_BYTES, ReadRun};
use monoio::{
    buf::{IoBuf, IoBufMut},
    io::{AsyncReadRent, AsyncWriteRentExt},
};
use std::{net::TcpListener, rc::Rc};

fn on<F: Future>(future: F) -> F::Output {
    let builder = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().enable_timer().with_entries(1024);
    builder.build().expect("io_uring is allowed here").block_on(future)
}

measure::contender! {
    on: on,
    spawn: |future| monoio::spawn(future),
    join: |task| task.await,
    sleep: monoio::time::sleep,
    reads: reads,
    echo: echo,
}

/// An aligned block as monoio wants its buffers.
struct Buffer(Box<Block>, usize);

// SAFETY: needs a pointer that stays valid while the value moves, to initialised bytes. Holds: the block is on the heap, and zeroed.
// Checked: every read compares what came.
unsafe impl IoBuf for Buffer {
    fn read_ptr(&self) -> *const u8 {
        self.0.0.as_ptr()
    }
    fn bytes_init(&self) -> usize {
        self.1
    }
}

// SAFETY: as above, and writable: the value owns the block.
unsafe impl IoBufMut for Buffer {
    fn write_ptr(&mut self) -> *mut u8 {
        self.0.0.as_mut_ptr()
    }
    fn bytes_total(&mut self) -> usize {
        measure::BLOCK
    }
    unsafe fn set_init(&mut self, bytes: usize) {
        self.1 = bytes;
    }
}

fn reads(run: ReadRun) {
    on(async move {
        let file = Rc::new(monoio::fs::File::from_std(run.open()).expect("monoio takes the file"));
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
        let readers: Vec<_> = (0..run.depth).map(|number| monoio::spawn(reader(number))).collect();
        for reader in readers {
            reader.await;
        }
        run.finish();
    });
}

fn echo(listener: TcpListener) {
    on(async move {
        let listener = monoio::net::TcpListener::from_std(listener).expect("monoio takes the socket");
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection comes");
            let _ = stream.set_nodelay(true);
            monoio::spawn(async move {
                let mut buffer: Vec<u8> = Vec::with_capacity(ECHO_BYTES);
                loop {
                    buffer.clear();
                    let (read, back) = stream.read(buffer).await;
                    if !matches!(read, Ok(1..)) {
                        return;
                    }
                    let (written, back) = stream.write_all(back).await;
                    buffer = back;
                    if written.is_err() {
                        return;
                    }
                }
            });
        }
    });
}
