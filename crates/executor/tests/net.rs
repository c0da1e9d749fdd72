//! Sockets on both drivers.
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]
mod common;
use common::both_drivers;
use ringwheel_executor::{
    DriverKind, Executor, Source, Target, fs,
    net::{ListenOptions, Listener, Peer, Shutdown, Stream},
    spawn, time,
};
use std::{io, net::SocketAddr, rc::Rc, time::Duration};

/// Both drivers, and io_uring with queues so short that they overflow all the time (INV-4).
fn each_driver(test: impl Fn(Executor)) {
    both_drivers(&test);
    if common::kinds().contains(&DriverKind::Uring) {
        test(common::start(DriverKind::Uring, |options| {
            options.driver.entries = 8;
            options.driver.completion_entries = Some(8);
        }));
    }
}

fn local() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

async fn pair() -> io::Result<(Stream, Stream)> {
    let listener = Listener::bind(local(), ListenOptions::default())?;
    let address = listener.local_address()?;
    let client = spawn(async move { Stream::connect(address).await });
    let server = listener.accept().await?;
    Ok((server, client.await.unwrap()?))
}

async fn receive_all(stream: &Stream, count: usize) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    while all.len() < count {
        match stream.receive().await? {
            Some(chunk) => all.extend_from_slice(&chunk),
            None => break,
        }
    }
    Ok(all)
}

fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index * 7 + index / 251) as u8).collect()
}

#[test]
fn a_socket_that_listens_already_is_taken_over() {
    each_driver(|mut executor| {
        let made = std::net::TcpListener::bind(local()).unwrap();
        let address = made.local_addr().unwrap();
        executor
            .run(async {
                let listener = Listener::from_std(made).unwrap();
                assert_eq!(listener.local_address().unwrap(), address);
                let client = spawn(async move { Stream::connect(address).await });
                let server = listener.accept().await.unwrap();
                let client = client.await.unwrap().unwrap();
                client.send(Source::Vec(b"hello".to_vec(), 0..5), false).await.0.unwrap();
                assert_eq!(receive_all(&server, 5).await.unwrap(), b"hello");
            })
            .unwrap();
    });
    let made = std::net::TcpListener::bind(local()).unwrap();
    let refused = Listener::from_std(made).unwrap_err().to_string();
    assert!(refused.contains("ERR_RINGWHEEL_NO_EXECUTOR"), "{refused}");
}

#[test]
fn echo_of_many_connections_at_once() {
    each_driver(|mut executor| {
        executor
            .run(async {
                let listener =
                    Listener::bind(local(), ListenOptions { backlog: 128, reuse_port: true }).unwrap();
                let address = listener.local_address().unwrap();
                let server = spawn(async move {
                    loop {
                        let stream = listener.accept().await.unwrap();
                        spawn(async move {
                            while let Some(chunk) = stream.receive().await.unwrap() {
                                let all = 0..chunk.len();
                                stream.send(Source::Chunk(chunk, all), false).await.0.unwrap();
                            }
                        });
                    }
                });
                let clients: Vec<_> = (0..40_usize)
                    .map(|number| {
                        spawn(async move {
                            let stream = Stream::connect(address).await.unwrap();
                            stream.set_nodelay(true).unwrap();
                            assert_eq!(stream.peer_address().unwrap(), address);
                            for round in 0..20 {
                                let bytes = pattern(1 + number * 50 + round);
                                let count = bytes.len();
                                let (sent, _) =
                                    stream.send(Source::Vec(bytes.clone(), 0..count), false).await;
                                assert_eq!(sent.unwrap(), count);
                                assert_eq!(receive_all(&stream, count).await.unwrap(), bytes);
                            }
                            stream.shutdown(Shutdown::Write).unwrap();
                            assert!(stream.receive().await.unwrap().is_none());
                            assert!(stream.receive().await.unwrap().is_none(), "and ever after");
                        })
                    })
                    .collect();
                for client in clients {
                    client.await.unwrap();
                }
                server.cancel();
            })
            .unwrap();
    });
}

#[test]
fn a_large_send_is_whole_and_its_source_comes_back() {
    each_driver(|mut executor| {
        executor
            .run(async {
                let (server, client) = pair().await.unwrap();
                let bytes: Rc<[u8]> = pattern(5_000_000).into();
                let expected = bytes.clone();
                let reader = spawn(async move { receive_all(&client, 5_000_000).await.unwrap() });
                let (sent, source) = server.send(Source::Shared(bytes, 0..5_000_000), true).await;
                assert_eq!(sent.unwrap(), 5_000_000);
                assert!(matches!(source, Source::Shared(_, range) if range.is_empty()));
                assert!(reader.await.unwrap() == *expected);
            })
            .unwrap();
    });
}

#[test]
fn a_slow_reader_pauses_the_receive_and_starves_nobody() {
    each_driver(|mut executor| {
        executor
            .run(async {
                // 32 chunks of 4 KiB in all: the first peers send much more than that to readers that do not read.
                let mut slow = Vec::new();
                for _ in 0..6 {
                    let (server, client) = pair().await.unwrap();
                    let flood = spawn(async move {
                        let bytes = pattern(300_000);
                        client.send(Source::Vec(bytes, 0..300_000), false).await.0.unwrap();
                        client
                    });
                    assert!(!server.receive().await.unwrap().unwrap().is_empty(), "armed, then left alone");
                    slow.push((server, flood));
                }
                time::sleep(Duration::from_millis(20)).await;
                let (server, client) = pair().await.unwrap();
                for _ in 0..20 {
                    client.send(Source::Vec(vec![1; 9000], 0..9000), false).await.0.unwrap();
                    let got = time::timeout(Duration::from_secs(5), receive_all(&server, 9000)).await;
                    assert_eq!(
                        got.expect("the others hold no more than half of the chunks").unwrap().len(),
                        9000
                    );
                }
                for (server, flood) in slow {
                    let first = 300_000 - receive_all(&server, 300_000 - 4096).await.unwrap().len();
                    assert!(first <= 4096, "nothing is lost over the pauses");
                    drop(server);
                    flood.cancel();
                }
            })
            .unwrap();
    });
}

#[test]
fn dropping_a_receive_loses_nothing() {
    each_driver(|mut executor| {
        executor
            .run(async {
                let (server, client) = pair().await.unwrap();
                let early = time::timeout(Duration::from_millis(2), server.receive()).await;
                assert!(early.is_err());
                client.send(Source::Vec(b"kept".to_vec(), 0..4), false).await.0.unwrap();
                assert_eq!(&server.receive().await.unwrap().unwrap()[..], b"kept");
            })
            .unwrap();
    });
}

#[test]
fn shutdown_from_another_task_ends_a_receive_and_a_send() {
    each_driver(|mut executor| {
        executor
            .run(async {
                let (server, _client) = pair().await.unwrap();
                let server = Rc::new(server);
                let receiving = spawn({
                    let server = server.clone();
                    async move { server.receive().await }
                });
                let sending = spawn({
                    let server = server.clone();
                    async move { server.send(Source::Vec(vec![0; 20_000_000], 0..20_000_000), false).await.0 }
                });
                time::sleep(Duration::from_millis(5)).await;
                server.shutdown(Shutdown::Both).unwrap();
                let ended = time::timeout(Duration::from_secs(5), receiving).await.expect("it ends");
                assert!(ended.unwrap().unwrap().is_none());
                let ended = time::timeout(Duration::from_secs(5), sending).await.expect("it ends");
                assert_eq!(ended.unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            })
            .unwrap();
    });
}

#[test]
fn dropping_a_stream_closes_it_for_the_peer() {
    each_driver(|mut executor| {
        executor
            .run(async {
                let (server, client) = pair().await.unwrap();
                let _ = time::timeout(Duration::from_millis(1), server.receive()).await; // armed
                drop(server);
                let ended = time::timeout(Duration::from_secs(5), client.receive()).await.expect("it closes");
                assert!(ended.unwrap().is_none());
            })
            .unwrap();
    });
}

#[test]
fn dropping_a_listener_refuses_and_forgets_nothing() {
    each_driver(|mut executor| {
        executor
            .run(async {
                let listener = Listener::bind(local(), ListenOptions::default()).unwrap();
                let address = listener.local_address().unwrap();
                let accepting = time::timeout(Duration::from_millis(2), listener.accept()).await;
                assert!(accepting.is_err());
                let waiting = Stream::connect(address).await.unwrap();
                time::sleep(Duration::from_millis(5)).await; // accepted, and waiting to be taken
                drop(listener);
                let ended =
                    time::timeout(Duration::from_secs(5), waiting.receive()).await.expect("it closes");
                assert!(ended.is_err() || ended.unwrap().is_none());
                let refused = Stream::connect(address).await;
                assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
            })
            .unwrap();
    });
}

#[test]
fn a_listener_that_stops_hands_out_all_that_waits_and_leaves_what_comes_to_others() {
    each_driver(|mut executor| {
        let made = std::net::TcpListener::bind(local()).unwrap();
        let address = made.local_addr().unwrap();
        let other = made.try_clone().unwrap();
        executor
            .run(async {
                let listener = Listener::from_std(made).unwrap();
                let connect = || std::net::TcpStream::connect(address).unwrap();
                let mut clients: Vec<_> = (0..100).map(|_| connect()).collect();
                let mut served = vec![listener.accept().await.unwrap()];
                clients.push(connect());
                while let Some(stream) = listener.accept_rest().await {
                    served.push(stream);
                }
                assert_eq!(served.len(), clients.len());
                // Nobody took the next ones, and nobody reset them.
                clients.extend((0..3).map(|_| connect()));
                let rest = Listener::from_std(other).unwrap();
                for _ in 0..3 {
                    served.push(rest.accept().await.unwrap());
                }
                for stream in &served {
                    stream.send(Source::Vec(b"x".to_vec(), 0..1), false).await.0.unwrap();
                }
                for mut client in clients {
                    let mut byte = [0];
                    io::Read::read_exact(&mut client, &mut byte).unwrap();
                }
                // And it can begin again.
                assert!(rest.accept_rest().await.is_none());
                drop(rest);
                let again = connect();
                let stream = listener.accept().await.unwrap();
                assert_eq!(stream.peer_address().unwrap(), again.local_addr().unwrap());
            })
            .unwrap();
    });
}

#[test]
fn errors_of_bind_are_the_systems() {
    each_driver(|mut executor| {
        executor
            .run(async {
                let first = Listener::bind(local(), ListenOptions::default()).unwrap();
                let address = first.local_address().unwrap();
                let second = Listener::bind(address, ListenOptions::default()).unwrap_err();
                assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
                let backlog =
                    Listener::bind(local(), ListenOptions { backlog: 0, reuse_port: false }).unwrap_err();
                assert_eq!(backlog.to_string(), "backlog is 0; it must be in 1..=65535");
            })
            .unwrap();
        assert!(
            Listener::bind(local(), ListenOptions::default())
                .unwrap_err()
                .to_string()
                .contains("NO_EXECUTOR")
        );
    });
}

fn temporary(name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("ringwheel-net-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn send_file_sends_ranges_and_stops_at_the_end() {
    let bytes = pattern(3_000_000);
    let path = temporary("send", &bytes);
    each_driver(|mut executor| {
        executor
            .run(async {
                let (server, client) = pair().await.unwrap();
                let file = fs::File::open(&path, 0).await.unwrap();
                let reader = spawn(async move {
                    let all = receive_all(&client, usize::MAX).await.unwrap();
                    drop(client);
                    all
                });
                assert_eq!(server.send_file(&file, 1000, 2_500_000).await.unwrap(), 2_500_000);
                assert_eq!(server.send_file(&file, 0, 0).await.unwrap(), 0);
                assert_eq!(server.send_file(&file, 2_999_990, 100).await.unwrap(), 10, "the file is shorter");
                assert_eq!(server.send_file(&file, 1 << 40, 1).await.unwrap(), 0);
                assert!(server.send_file(&file, u64::MAX / 2, 1).await.is_err());
                drop(server);
                let received = reader.await.unwrap();
                assert_eq!(received.len(), 2_500_010);
                assert!(received[..2_500_000] == bytes[1000..2_501_000]);
                assert!(received[2_500_000..] == bytes[2_999_990..]);
            })
            .unwrap();
    });
    std::fs::remove_file(path).unwrap();
}

#[test]
fn the_last_look_at_a_file_comes_before_its_last_bytes_and_can_keep_them() {
    let bytes = pattern(3_000_000);
    let path = temporary("look", &bytes);
    each_driver(|mut executor| {
        executor
            .run(async {
                // One that sendfile takes, and one that it refuses.
                for (path, most) in [(path.to_str().unwrap(), 3_000_000), ("/dev/zero", 100_000)] {
                    let file = fs::File::open(path, 0).await.unwrap();
                    for is_kept in [false, true] {
                        let (server, client) = pair().await.unwrap();
                        let reader =
                            spawn(
                                async move { receive_all(&client, usize::MAX).await.unwrap().len() as u64 },
                            );
                        let mut looks = 0;
                        let look = || {
                            looks += 1;
                            if is_kept { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) }
                        };
                        let sent = server.send_file_unless(&file, 0, most, look).await;
                        assert!(looks > 0);
                        drop(server);
                        let received = reader.await.unwrap();
                        if is_kept {
                            assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::InvalidData);
                            assert!(received < most, "{received}");
                        } else {
                            assert_eq!((sent.unwrap(), received), (most, most));
                        }
                    }
                }
            })
            .unwrap();
    });
    std::fs::remove_file(path).unwrap();
}

#[test]
fn send_file_copies_what_sendfile_refuses_and_reports_a_gone_peer() {
    each_driver(|mut executor| {
        executor
            .run(async {
                let (server, client) = pair().await.unwrap();
                let file = fs::File::open("/dev/zero", 0).await.unwrap();
                let reader = spawn(async move { receive_all(&client, 100_000).await.unwrap().len() });
                let sent = server.send_file(&file, 0, 100_000).await.unwrap();
                assert_eq!(sent, 100_000);
                assert!(reader.await.unwrap() >= 100_000);
                let gone = server.send_file(&file, 0, 1 << 30).await.unwrap_err();
                assert!(
                    matches!(gone.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset),
                    "{gone}"
                );
            })
            .unwrap();
    });
}

#[test]
fn send_file_leaves_turns_to_others() {
    let path = temporary("fair", &vec![5; 64 << 20]);
    each_driver(|mut executor| {
        executor
            .run(async {
                let (server, client) = pair().await.unwrap();
                let file = fs::File::open(&path, 0).await.unwrap();
                let reader = spawn(async move { receive_all(&client, 64 << 20).await.unwrap().len() });
                let other = spawn(async {
                    let mut turns = 0_u32;
                    loop {
                        ringwheel_executor::yield_now().await;
                        turns += 1;
                        if turns == 20 {
                            return;
                        }
                    }
                });
                assert_eq!(server.send_file(&file, 0, 64 << 20).await.unwrap(), 64 << 20);
                assert!(other.is_finished());
                assert_eq!(reader.await.unwrap(), 64 << 20);
            })
            .unwrap();
    });
    std::fs::remove_file(path).unwrap();
}

#[test]
fn operations_fail_once_the_executor_is_gone() {
    each_driver(|mut executor| {
        let kind = executor.driver_kind();
        let (stream, _client, file) = executor
            .run(async {
                let (server, client) = pair().await.unwrap();
                let _ = time::timeout(Duration::from_millis(1), server.receive()).await;
                (server, client, fs::File::open("/etc/passwd", 0).await.unwrap())
            })
            .unwrap();
        drop(executor);
        let mut other = common::start(kind, |_| {});
        other
            .run(async {
                let error = stream.receive().await.unwrap_err();
                assert_eq!(error.raw_os_error(), Some(125), "ECANCELED");
                let (result, target) = file.read_at(Target::Vec(Vec::with_capacity(8)), 0).await;
                assert!(result.is_err());
                assert!(matches!(target, Target::Vec(vec) if vec.capacity() >= 8), "the target comes back");
                assert!(file.metadata().unwrap().size > 0, "inline calls still work");
            })
            .unwrap();
    });
}

#[test]
fn what_is_sent_now_goes_at_once_and_stops_where_the_socket_is_full() {
    each_driver(|mut executor| {
        executor
            .run(async {
                let (server, client) = pair().await?;
                assert_eq!(server.send_now(b"head, ", true)?, 6);
                assert_eq!(server.send_now(b"body", false)?, 4);
                assert_eq!(receive_all(&client, 10).await?, b"head, body");
                let bytes = pattern(1 << 20);
                let mut sent = 0;
                loop {
                    match server.send_now(&bytes, false)? {
                        0 => break,
                        count => sent += count,
                    }
                    assert!(sent < 1 << 30, "a peer that does not read takes everything");
                }
                drop(client);
                time::sleep(Duration::from_millis(20)).await;
                let error =
                    server.send_now(b"x", false).and_then(|_| server.send_now(b"x", false)).unwrap_err();
                assert!(
                    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset),
                    "{error}"
                );
                io::Result::Ok(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
#[cfg(target_os = "linux")]
fn acknowledged_bytes_grow_as_the_peer_takes_them() {
    each_driver(|mut executor| {
        executor
            .run(async {
                let (server, client) = pair().await?;
                let before = server.acknowledged().unwrap();
                let (result, _) = server.send(Source::Vec(pattern(100_000), 0..100_000), false).await;
                result?;
                receive_all(&client, 100_000).await?;
                time::sleep(Duration::from_millis(50)).await;
                assert_eq!(server.acknowledged().unwrap() - before, 100_000);
                io::Result::Ok(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_peer_that_ends_or_resets_is_seen_without_receiving_what_it_sent() {
    each_driver(|mut executor| {
        executor
            .run(async {
                let listener = Listener::bind(local(), ListenOptions::default())?;
                let client = std::net::TcpStream::connect(listener.local_address()?)?;
                let server = listener.accept().await?;
                let until = async |expected: Peer| {
                    while server.peer() != expected {
                        time::sleep(Duration::from_millis(1)).await;
                    }
                };
                assert_eq!(server.peer(), Peer::There);
                io::Write::write_all(&mut &client, b"unread")?;
                client.shutdown(Shutdown::Write)?;
                until(Peer::Ended).await;
                socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
                drop(client);
                until(Peer::Gone).await;
                io::Result::Ok(())
            })
            .unwrap()
            .unwrap();
    });
}
