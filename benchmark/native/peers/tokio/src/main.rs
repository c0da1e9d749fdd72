//! tokio: `peer-tokio WHAT …` prints one line of JSON; `measure::contender!` says which.
use measure::{Block, ECHO_BYTES, ReadRun};
use std::{net::TcpListener, os::unix::fs::FileExt, sync::Arc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

// The current-thread runtime: one core of tokio. Unconstrained, so that its budget does not interrupt a loop that is measured.
fn on<F: Future>(future: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the runtime starts");
    runtime.block_on(tokio::task::unconstrained(future))
}

measure::contender! {
    on: on,
    spawn: |future| tokio::spawn(future),
    join: |task| task.await.expect("not cancelled"),
    sleep: tokio::time::sleep,
    reads: reads,
    echo: echo,
}

/// On the blocking pool: tokio has no other way to a file.
fn reads(run: ReadRun) {
    on(async move {
        let file = Arc::new(run.open());
        let reader = |number| {
            let (file, mut reader) = (file.clone(), run.reader(number));
            async move {
                let mut buffer = Block::boxed();
                while let Some(offset) = reader.next_offset() {
                    let file = file.clone();
                    let read =
                        tokio::task::spawn_blocking(move || (file.read_at(&mut buffer.0, offset), buffer));
                    let (read, back) = read.await.expect("not cancelled");
                    reader.got(&back.0[..read.expect("the read succeeds")]);
                    buffer = back;
                }
            }
        };
        let readers: Vec<_> = (0..run.depth).map(|number| tokio::spawn(reader(number))).collect();
        for reader in readers {
            reader.await.expect("not cancelled");
        }
        run.finish();
    });
}

fn echo(listener: TcpListener) {
    listener.set_nonblocking(true).expect("a flag");
    on(async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("tokio takes the socket");
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection comes");
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let mut buffer = vec![0; ECHO_BYTES];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}
