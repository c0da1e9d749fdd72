//! ringwheel: `ours WHAT …` prints one line of JSON; `measure::contender!` says which, and `wheel` and `cascade` are the clock alone, `disk` is the adaptive
//! scheduler.
mod disk;
mod wheel;

use measure::{ReadRun, set_driver};
use ringwheel_executor::{
    DriverKind, Executor, JoinHandle, Options, Source, Target, fs,
    net::{Listener, Stream},
    spawn, time,
};
use std::net::TcpListener;

fn options() -> Options {
    let mut options = Options::default();
    // A ring as large as monoio's and the bare one here: 1024 entries and 2048 completions.
    options.driver.completion_entries = Some(2048);
    // The executor leaves the environment to its hosts, and this is one.
    options.driver.kind = match std::env::var("RINGWHEEL_DRIVER").as_deref() {
        Ok("poll") => Some(DriverKind::Poll),
        Ok("uring") => Some(DriverKind::Uring),
        _ => None,
    };
    options
}

fn on_with<F: Future>(options: Options, future: F) -> F::Output {
    let mut executor = Executor::start(options).expect("an executor starts");
    let kind = match executor.driver_kind() {
        DriverKind::Uring => "uring",
        DriverKind::Poll => "poll",
    };
    set_driver(format!("{kind} ({})", executor.features().join(" ")));
    executor.run(future).expect("the future ends")
}

fn on<F: Future>(future: F) -> F::Output {
    on_with(options(), future)
}

measure::contender! {
    on: on,
    spawn: |future| spawn(future),
    join: |task| task.await.expect("not cancelled"),
    sleep: time::sleep,
    reads: reads,
    echo: echo,
    more: |count| {
        "wheel" => wheel::insert_and_cancel(count),
        "cascade" => wheel::cascade(count),
        "disk" => disk::measure(),
    },
}

/// Into leases of the registered arena.
fn reads(run: ReadRun) {
    on(async move {
        let file = std::rc::Rc::new(fs::File::open(&run.file, run.flags()).await.expect("the file opens"));
        let reader = |number| {
            let (file, mut reader) = (file.clone(), run.reader(number));
            async move {
                let lease = fs::lease(measure::BLOCK).expect("there is room in the arena");
                let mut target = Target::Lease(lease, 0..measure::BLOCK as u32);
                while let Some(offset) = reader.next_offset() {
                    let (read, back) = file.read_at(target, offset).await;
                    reader.got(&back.bytes()[..read.expect("the read succeeds")]);
                    target = back;
                }
            }
        };
        let readers: Vec<JoinHandle<()>> = (0..run.depth).map(|number| spawn(reader(number))).collect();
        for reader in readers {
            reader.await.expect("not cancelled");
        }
        run.finish();
    });
}

/// Sends from the buffer that was received into.
fn echo(listener: TcpListener) {
    let mut options = options();
    // As large as the others' buffers, and as many in all as they have for a hundred connections.
    options.driver.chunk_bytes = measure::ECHO_BYTES as u32;
    options.driver.chunks = 128;
    on_with(options, async move {
        let listener = Listener::from_std(listener).expect("it listens");
        loop {
            let stream = listener.accept().await.expect("a connection comes");
            let _ = stream.set_nodelay(true);
            spawn(serve(stream));
        }
    });
}

async fn serve(stream: Stream) {
    while let Ok(Some(chunk)) = stream.receive().await {
        let all = 0..chunk.len();
        if stream.send(Source::Chunk(chunk, all), false).await.0.is_err() {
            return;
        }
    }
}
