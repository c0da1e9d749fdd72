//! glommio: `peer-glommio WHAT …` prints one line of JSON; `measure::contender!` says which.
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::{
    io::{BufferedFile, DmaFile},
    spawn_local,
};
use measure::{BLOCK, ECHO_BYTES, ReadRun, Reader, insert_and_cancel_futures};
use std::{
    future::poll_fn,
    net::TcpListener,
    os::fd::{FromRawFd, IntoRawFd},
    rc::Rc,
    task::{Context, Poll, Waker},
};

fn on<T: 'static>(future: impl Future<Output = T>) -> T {
    let builder = glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound).ring_depth(1024);
    builder.make().expect("io_uring and locked memory are allowed here").run(future)
}

measure::contender! {
    on: on,
    spawn: |future| spawn_local(future).detach(),
    join: |task| task.await.expect("not cancelled"),
    sleep: glommio::timer::Timer::new,
    reads: reads,
    echo: echo,
    more: |count| {
        // A task of glommio has 32,767 wakers at most (its count has 16 bits): so these timers wake nobody, which is cheaper.
        "timers" => on(poll_fn(move |_| {
            insert_and_cancel_futures(count, glommio::timer::Timer::new, &mut Context::from_waker(Waker::noop()));
            Poll::Ready(())
        })),
    },
}

/// glommio has a type for files past the page cache, with buffers of its own that it registers, and one for all others.
fn reads(run: ReadRun) {
    on(async move {
        if run.direct {
            let file = Rc::new(DmaFile::open(&run.file).await.expect("the file opens"));
            each(&run, |mut reader| {
                let file = file.clone();
                async move {
                    while let Some(offset) = reader.next_offset() {
                        reader.got(&file.read_at_aligned(offset, BLOCK).await.expect("the read succeeds"));
                    }
                }
            })
            .await;
        } else {
            let file = Rc::new(BufferedFile::open(&run.file).await.expect("the file opens"));
            each(&run, |mut reader| {
                let file = file.clone();
                async move {
                    while let Some(offset) = reader.next_offset() {
                        reader.got(&file.read_at(offset, BLOCK).await.expect("the read succeeds"));
                    }
                }
            })
            .await;
        }
        run.finish();
    });
}

async fn each<F: Future<Output = ()> + 'static>(run: &ReadRun, read: impl Fn(Reader) -> F) {
    let readers: Vec<_> =
        (0..run.depth).map(|number| spawn_local(read(run.reader(number))).detach()).collect();
    for reader in readers {
        reader.await.expect("not cancelled");
    }
}

fn echo(listener: TcpListener) {
    on(async move {
        // SAFETY: `from_raw_fd` needs a listening socket that nobody else owns. Holds: it was std's, and std let go of it.
        // Checked: the first connection would fail.
        let listener = unsafe { glommio::net::TcpListener::from_raw_fd(listener.into_raw_fd()) };
        loop {
            let mut stream = listener.accept().await.expect("a connection comes");
            let _ = stream.set_nodelay(true);
            spawn_local(async move {
                let mut buffer = vec![0; ECHO_BYTES];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            })
            .detach();
        }
    });
}
