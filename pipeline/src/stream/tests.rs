use super::memory::{MemoryConfig, address, engine};
use super::*;
use guest::{Pattern, StreamDigest};
use skb::PortId;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;
use vswitch::fdb::HashKey;

const PATIENCE: Duration = Duration::from_secs(20);

fn pump(config: &MemoryConfig) -> Pump {
    Pump::start(engine(config, HashKey::new([1, 2])).unwrap(), 64 << 10).unwrap()
}

fn to(port: u8, tcp_port: u16) -> SocketAddr {
    SocketAddr::new(address(PortId(port)), tcp_port)
}

/// Writes `bytes` of a pattern in pieces of all sizes and closes.
fn write_pattern(mut stream: &PathStream, seed: u64, bytes: u64) {
    let mut buffer = vec![0; 100_000];
    let (mut at, mut len) = (0, 1);
    while at < bytes {
        let piece = &mut buffer[..len.min((bytes - at) as usize)];
        Pattern::new(seed).fill(at, piece);
        stream.write_all(piece).unwrap();
        at += piece.len() as u64;
        len = len * 7 % 99_991;
    }
    stream.shutdown(Shutdown::Write);
}

fn read_digest(mut stream: &PathStream) -> (u64, u64) {
    let (mut digest, mut bytes, mut room) = (StreamDigest::default(), 0, vec![0; 70_001]);
    loop {
        match stream.read(&mut room).unwrap() {
            0 => return (bytes, digest.value()),
            read => {
                digest.update(&room[..read]);
                bytes += read as u64;
            }
        }
    }
}

fn expected(seed: u64, bytes: u64) -> (u64, u64) {
    (bytes, guest::Stream { bytes, seed }.digest())
}

#[test]
fn both_directions_arrive_as_they_were_sent_with_and_without_offload() {
    let plain = MemoryConfig { tso: false, offload: false, ..MemoryConfig::default() };
    for config in [MemoryConfig::default(), plain] {
        let pump = pump(&config);
        let listener = pump.listen(PortId(1), 9, 2).unwrap();
        let near = pump.connect(PortId(0), to(1, 9), PATIENCE).unwrap();
        let far = listener.accept(Some(PATIENCE)).unwrap().unwrap();
        assert_eq!(near.peer_addr(), Some(to(1, 9)));
        assert_eq!(far.peer_addr().unwrap().ip(), address(PortId(0)));
        let (up, down) = (7_000_003, 3_000_001);
        std::thread::scope(|scope| {
            scope.spawn(|| write_pattern(&near, 1, up));
            scope.spawn(|| write_pattern(&far, 2, down));
            let at_near = scope.spawn(|| read_digest(&near));
            assert_eq!(read_digest(&far), expected(1, up));
            assert_eq!(at_near.join().unwrap(), expected(2, down));
        });
        drop((near, far));
        let report = pump.stop(PATIENCE).unwrap();
        report.ledger.check().unwrap();
        assert_eq!(report.bytes, (up + down, up + down));
        assert_eq!(
            (report.ledger.held, report.ledger.dropped_total(), report.host_edges),
            (0, 0, 0)
        );
        assert_eq!(report.ledger.originated + report.ledger.cloned, report.ledger.delivered);
        assert_eq!(report.connections, 2);
        // whole super-frames, or segments of at most 1460 bytes
        let least = if config.tso { 160 } else { (up + down) / 1460 };
        assert!(report.ledger.delivered >= least, "{:?}", report.ledger);
        assert_eq!(config.tso, report.ledger.delivered < (up + down) / 1460);
        assert!(report.latencies.iter().any(|stage| stage.stage == "path" && stage.frames > 0));
        assert!(report.shares.stack > 0.0 && report.shares.hand_over > 0.0);
    }
}

#[test]
fn a_stalled_reader_stops_its_writer_and_costs_nobody_a_frame() {
    let pump = pump(&MemoryConfig { guests: 3, tcp_buffer: 32 << 10, ..MemoryConfig::default() });
    let stalled = pump.listen(PortId(1), 9, 2).unwrap();
    let quick = pump.listen(PortId(2), 9, 2).unwrap();
    let mut to_stalled = pump.connect(PortId(0), to(1, 9), PATIENCE).unwrap();
    let to_quick = pump.connect(PortId(0), to(2, 9), PATIENCE).unwrap();
    let mut unread = stalled.accept(Some(PATIENCE)).unwrap().unwrap();
    let read = quick.accept(Some(PATIENCE)).unwrap().unwrap();
    // fills both pipes and both sockets' buffers, and then stops
    to_stalled.set_write_timeout(Some(Duration::from_millis(300)));
    let mut sent = 0;
    let error = loop {
        match to_stalled.write(&[7; 10_000]) {
            Ok(bytes) => sent += bytes,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains("192.0.2.2:9: no room to write within 300ms"), "{error}");
    assert!((100_000..400_000).contains(&sent), "bounded: {sent}");
    std::thread::scope(|scope| {
        scope.spawn(|| write_pattern(&to_quick, 5, 5_000_000));
        assert_eq!(read_digest(&read), expected(5, 5_000_000));
    });
    // and goes on when it is read
    to_stalled.shutdown(Shutdown::Write);
    let mut rest = Vec::new();
    unread.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, vec![7; sent]);
    drop((to_stalled, to_quick, unread, read));
    let report = pump.stop(PATIENCE).unwrap();
    report.ledger.check().unwrap();
    assert_eq!((report.ledger.dropped_total(), report.ledger.held), (0, 0));
}

#[test]
fn an_idle_path_sleeps() {
    let pump = pump(&MemoryConfig::default());
    let listener = pump.listen(PortId(1), 9, 2).unwrap();
    let near = pump.connect(PortId(0), to(1, 9), PATIENCE).unwrap();
    let far = listener.accept(Some(PATIENCE)).unwrap().unwrap();
    far.set_read_timeout(Some(Duration::from_millis(400)));
    let error = (&far).read(&mut [0; 9]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("nothing came within 400ms"), "{error}");
    let shares = pump.report().unwrap().shares;
    let asleep = shares.idle + shares.source + shares.wire;
    let awake: f64 = shares.hand_over + shares.stack + shares.stages.iter().sum::<f64>();
    assert!(asleep > 3.0 * awake, "asleep {asleep} ns, awake {awake} ns");
    (&near).write_all(b"still there").unwrap();
    let mut room = [0; 11];
    (&far).read_exact(&mut room).unwrap();
    assert_eq!(&room, b"still there");
}

#[test]
fn what_cannot_be_reached_is_told_and_what_ends_wakes_who_waits() {
    let pump = pump(&MemoryConfig::default());
    let refused = pump.connect(PortId(0), to(1, 9), PATIENCE).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{refused}");
    assert!(refused.to_string().contains("192.0.2.2:9 refuses"), "{refused}");
    let silent = pump.connect(PortId(0), to(77, 9), Duration::from_millis(200)).unwrap_err();
    assert_eq!(silent.kind(), ErrorKind::TimedOut, "{silent}");
    assert!(silent.to_string().contains("192.0.2.78:9: no answer within 200ms"), "{silent}");
    let v6 = "[2001:db8::1]:9".parse().unwrap();
    let error = pump.connect(PortId(0), v6, PATIENCE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable, "{error}");
    assert!(pump.connect(PortId(9), to(1, 9), PATIENCE).is_err());
    assert!(pump.listen(PortId(9), 9, 1).is_err() && pump.listen(PortId(1), 0, 1).is_err());

    let listener = pump.listen(PortId(1), 9, 2).unwrap();
    assert!(listener.accept(Some(Duration::from_millis(10))).unwrap().is_none());
    let near = pump.connect(PortId(0), to(1, 9), PATIENCE).unwrap();
    let mut far = listener.accept(Some(PATIENCE)).unwrap().unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| (&near).read(&mut [0; 4]).unwrap_err());
        std::thread::sleep(Duration::from_millis(50));
        far.abort();
        let error = reader.join().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    });
    assert_eq!((&near).write(b"more").unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(far.read(&mut [0; 4]).is_err(), "aborted here");

    let near = pump.connect(PortId(0), to(1, 9), PATIENCE).unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| (&near).read(&mut [0; 4]).unwrap_err());
        let waiting = scope.spawn(|| {
            let _far = listener.accept(Some(PATIENCE)).unwrap().unwrap();
            listener.accept(None).unwrap_err()
        });
        std::thread::sleep(Duration::from_millis(50));
        let report = pump.stop(Duration::ZERO).unwrap();
        report.ledger.check().unwrap();
        assert_eq!(report.ledger.held, 0);
        assert_eq!(reader.join().unwrap().kind(), ErrorKind::NotConnected);
        assert_eq!(waiting.join().unwrap().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn what_was_written_before_the_last_user_went_still_arrives() {
    let pump = pump(&MemoryConfig::default());
    let listener = pump.listen(PortId(1), 9, 4).unwrap();
    for turn in 0..20 {
        let mut near = pump.connect(PortId(0), to(1, 9), PATIENCE);
        for _ in 0..1000 {
            // all sockets of the backlog may be in their last state still
            if near.is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
            near = pump.connect(PortId(0), to(1, 9), PATIENCE);
        }
        let mut near = near.unwrap();
        let far = listener.accept(Some(PATIENCE)).unwrap().unwrap();
        near.write_all(&vec![turn; 50_000]).unwrap();
        drop(near);
        assert_eq!(read_digest(&far).0, 50_000);
    }
}
