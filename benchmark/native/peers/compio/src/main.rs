//! compio: `peer-compio WHAT …` prints one line of JSON; `measure::contender!` says which.
use compio::{
    BufResult,
    buf::{IoBuf, IoBufMut, SetLen},
    io::{AsyncRead, AsyncReadAt, AsyncWriteExt},
};
use measure::{Block, ECHO_BYTES, ReadRun};
use std::{mem::MaybeUninit, net::TcpListener, rc::Rc};

fn on<F: Future>(future: F) -> F::Output {
    let mut driver = compio::driver::ProactorBuilder::new();
    driver.capacity(1024);
    // The set-up flags that pay with one thread; compio leaves them off.
    driver.single_issuer(true).coop_taskrun(true).taskrun_flag(true).defer_taskrun(true);
    let mut builder = compio::runtime::RuntimeBuilder::new();
    builder.with_proactor(driver);
    let runtime = builder.build().expect("the runtime starts");
    assert!(runtime.driver_type().is_iouring(), "io_uring is allowed here");
    runtime.block_on(future)
}

measure::contender! {
    on: on,
    spawn: |future| compio::runtime::spawn(future),
    join: |task| task.await.expect("not cancelled"),
    sleep: compio::time::sleep,
    reads: reads,
    echo: echo,
}

/// An aligned block as compio wants its buffers.
struct Buffer(Box<Block>, usize);

impl IoBuf for Buffer {
    fn as_init(&self) -> &[u8] {
        &self.0.0[..self.1]
    }
}

impl SetLen for Buffer {
    unsafe fn set_len(&mut self, bytes: usize) {
        self.1 = bytes;
    }
}

impl IoBufMut for Buffer {
    fn as_uninit(&mut self) -> &mut [MaybeUninit<u8>] {
        let bytes: *mut [u8] = &mut self.0.0;
        // SAFETY: bytes may be seen as maybe-uninitialised ones by who only writes initialised ones, as the kernel does.
        // Checked: every read compares what came.
        unsafe { &mut *(bytes as *mut [MaybeUninit<u8>]) }
    }
}

fn reads(run: ReadRun) {
    on(async move {
        let mut options = compio::fs::OpenOptions::new();
        let file = options.read(true).custom_flags(run.flags()).open(&run.file).await;
        let file = Rc::new(file.expect("the file opens"));
        let reader = |number| {
            let (file, mut reader) = (file.clone(), run.reader(number));
            async move {
                let mut buffer = Buffer(Block::boxed(), 0);
                while let Some(offset) = reader.next_offset() {
                    let BufResult(read, back) = file.read_at(buffer, offset).await;
                    reader.got(&back.0.0[..read.expect("the read succeeds")]);
                    buffer = back;
                }
            }
        };
        let readers: Vec<_> = (0..run.depth).map(|number| compio::runtime::spawn(reader(number))).collect();
        for reader in readers {
            reader.await.expect("not cancelled");
        }
        run.finish();
    });
}

fn echo(listener: TcpListener) {
    on(async move {
        let listener = compio::net::TcpListener::from_std(listener).expect("compio takes the socket");
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection comes");
            let _ = stream.set_nodelay(true);
            compio::runtime::spawn(async move {
                let mut buffer: Vec<u8> = Vec::with_capacity(ECHO_BYTES);
                loop {
                    buffer.clear();
                    let BufResult(read, back) = stream.read(buffer).await;
                    if !matches!(read, Ok(1..)) {
                        return;
                    }
                    let BufResult(written, back) = stream.write_all(back).await;
                    buffer = back;
                    if written.is_err() {
                        return;
                    }
                }
            })
            .detach();
        }
    });
}
