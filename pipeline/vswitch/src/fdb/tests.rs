use super::*;
use skb::MacAddr;

fn mac(n: u32) -> MacAddr {
    let [a, b, c, d] = n.to_be_bytes();
    MacAddr([0x02, 0, a, b, c, d])
}

fn key(n: u32) -> FdbKey {
    FdbKey::new(1, mac(n))
}

fn fdb(capacity: usize) -> Fdb {
    Fdb::new(FdbConfig { capacity, ..FdbConfig::default() }, HashKey::new([7, 9])).unwrap()
}

const P1: PortId = PortId(1);
const P2: PortId = PortId(2);
const T0: Tick = Tick(1000);

#[test]
fn key_holds_vid_and_mac() {
    let mac: MacAddr = "02:11:22:33:44:55".parse().unwrap();
    let key = FdbKey::new(4094, mac);
    assert_eq!((key.vid(), key.mac()), (4094, mac));
    assert_eq!(key.to_string(), "02:11:22:33:44:55 in VLAN 4094");
}

#[test]
fn learns_moves_and_keeps_vlans_apart() {
    let mut fdb = fdb(1024);
    assert_eq!(fdb.lookup(key(1), T0), None);
    assert_eq!(fdb.learn(key(1), P1, T0), Learned::New);
    assert_eq!(fdb.learn(key(1), P1, T0), Learned::Known);
    assert_eq!(fdb.lookup(key(1), T0), Some(P1));
    assert!(fdb.probe(P1, T0).known(key(1)) && !fdb.probe(P2, T0).known(key(1)));
    assert_eq!(fdb.probe(P2, T0).port_of(key(1)), Some(P1));
    assert_eq!(fdb.probe(P2, Tick(1 << 20)).port_of(key(1)), None);
    assert_eq!(fdb.lookup(FdbKey::new(2, mac(1)), T0), None);
    assert_eq!(fdb.learn(key(1), P2, T0), Learned::Moved);
    assert_eq!(fdb.lookup(key(1), T0), Some(P2));
    assert_eq!((fdb.learned_on(P1), fdb.learned_on(P2), fdb.len()), (0, 1, 1));
}

#[test]
fn entries_age_at_the_configured_time_and_talking_keeps_them() {
    let mut fdb = fdb(1024);
    let at = |ms: u64| Tick::from_ms(10_000_000 + ms);
    fdb.learn(key(1), P1, at(0));
    fdb.learn(key(2), P1, at(0));
    fdb.learn(key(2), P1, at(200_000));
    assert_eq!(fdb.lookup(key(1), at(299_900)), Some(P1));
    assert_eq!(fdb.lookup(key(1), at(300_300)), None, "treated as absent before any sweep");
    assert_eq!(fdb.lookup(key(2), at(300_300)), Some(P1));
    assert_eq!(fdb.len(), 2);
    assert_eq!(fdb.age_out(at(300_300)), 1);
    assert_eq!((fdb.len(), fdb.stats().aged), (1, 1));
    assert_eq!(fdb.lookup(key(2), at(100)), Some(P1), "a clock set back ages nothing");
}

#[test]
fn an_aged_station_on_another_port_is_new_not_moved() {
    let mut fdb = fdb(64);
    fdb.learn(key(1), P1, Tick(0));
    assert_eq!(fdb.learn(key(1), P2, Tick(100_000)), Learned::New);
    assert_eq!((fdb.stats().moved, fdb.learned_on(P1), fdb.learned_on(P2)), (0, 0, 1));
}

#[test]
fn the_incremental_sweep_visits_everything_within_half_the_ageing_time() {
    let mut fdb = fdb(20_000);
    for n in 0..20_000 {
        fdb.learn(key(n), P1, T0);
    }
    let aged = T0.0 + fdb.age_ticks as u32 + 1;
    for tick in T0.0..aged + fdb.age_ticks as u32 / 2 {
        fdb.sweep(Tick(tick));
    }
    assert_eq!((fdb.len(), fdb.learned_on(P1), fdb.stats().aged), (0, 0, 20_000));
    assert!(fdb.passed.iter().all(|&passed| passed == 0), "no bucket remembers passed entries");
}

#[test]
fn static_entries_neither_age_nor_move() {
    let mut fdb = fdb(64);
    fdb.learn(key(1), P2, T0);
    fdb.insert_static(key(1), P1).unwrap();
    fdb.insert_static(key(1), P1).unwrap();
    assert_eq!(fdb.learn(key(1), P2, T0), Learned::StaticConflict);
    assert_eq!(fdb.learn(key(1), P1, T0), Learned::Known);
    assert_eq!(fdb.lookup(key(1), Tick(1 << 30)), Some(P1));
    assert_eq!(fdb.age_out(Tick(1 << 30)), 0);
    assert_eq!(fdb.flush_port(P1), 0);
    assert!(matches!(fdb.insert_static(key(1), P2), Err(FdbError::Conflict { .. })));
    assert_eq!((fdb.learned_on(P1), fdb.learned_on(P2), fdb.len()), (0, 0, 1));
    assert!(fdb.remove(key(1)) && fdb.is_empty());
}

#[test]
fn a_flood_of_sources_on_one_port_evicts_nobody() {
    let mut fdb = fdb(1000);
    fdb.insert_static(key(5), P1).unwrap();
    fdb.set_port_cap(P2, 500);
    for n in 10..110 {
        assert_eq!(fdb.learn(key(n), P1, T0), Learned::New);
    }
    for n in 0..100_000 {
        fdb.learn(key(1_000_000 + n), P2, T0);
    }
    assert_eq!((fdb.learned_on(P2), fdb.stats().refused_cap), (500, 99_500));
    assert!((10..110).all(|n| fdb.lookup(key(n), T0) == Some(P1)));
    assert_eq!(fdb.lookup(key(5), T0), Some(P1));
    assert_eq!(fdb.learn(key(10), P2, T0), Learned::RefusedCap, "nor can it take them over");
    assert_eq!(fdb.lookup(key(10), T0), Some(P1));
}

#[test]
fn a_full_table_refuses_and_counts() {
    let mut fdb = fdb(100);
    for n in 0..100 {
        assert_eq!(fdb.learn(key(n), P1, T0), Learned::New);
    }
    assert_eq!(fdb.learn(key(100), P1, T0), Learned::RefusedFull);
    assert!(matches!(fdb.insert_static(key(101), P1), Err(FdbError::Full { len: 100, .. })));
    assert_eq!(fdb.learn(key(1), P2, T0), Learned::Moved, "moving needs no room");
    assert_eq!((fdb.len(), fdb.stats().refused_full), (100, 1));
    assert_eq!(fdb.learn(key(1), PortId(64), T0), Learned::RefusedCap, "no such port");
}

#[test]
fn grows_by_doubling_and_forgets_nothing() {
    let mut fdb = fdb(CAPACITY_MAX);
    let small = fdb.bytes();
    assert_eq!(small, 128 << 10);
    for n in 0..200_000 {
        assert_eq!(fdb.learn(key(n), PortId(n as u8 & 63), T0), Learned::New);
    }
    assert!((0..200_000).all(|n| fdb.lookup(key(n), T0) == Some(PortId(n as u8 & 63))));
    assert_eq!(fdb.iter().count(), 200_000);
    assert!(fdb.stats().grown >= 5 && fdb.bytes() <= 200_000 * 64, "{}", fdb.bytes());
}

/// The address of a station by its number.
type Station = fn(u32) -> MacAddr;

/// Addresses as they come in practice: a vendor's serial numbers, a hypervisor's pool with the
/// count in another byte, steps of a power of two, and no pattern at all.
fn patterns() -> [(&'static str, Station); 5] {
    [
        ("sequential", mac),
        ("count in the middle", |n| {
            let [_, a, b, c] = n.to_be_bytes();
            MacAddr([0x02, a, b, c, 0x10, 0x20])
        }),
        ("steps of 16", |n| mac(n << 4)),
        ("steps of 4096", |n| mac(n << 12)),
        ("no pattern", |n| {
            let bits = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
            let [a, b, c, d, e, f, ..] =
                (bits ^ bits >> 31).wrapping_mul(0x94d0_49bb).to_le_bytes();
            MacAddr([a & 0xfc | 2, b, c, d, e, f])
        }),
    ]
}

#[test]
fn addresses_spread_whatever_the_key() {
    const STATIONS: u32 = 4096;
    for (name, mac) in patterns() {
        for seed in 0..500 {
            let config = FdbConfig { capacity: STATIONS as usize, ..FdbConfig::default() };
            let mut fdb = Fdb::new(config, HashKey::new([seed, 0])).unwrap();
            for n in 0..STATIONS {
                let key = FdbKey::new(1, mac(n));
                assert_eq!(fdb.learn(key, P1, T0), Learned::New, "{name}, seed {seed}, {key}");
            }
            let passed: usize = fdb.passed.iter().map(|&passed| usize::from(passed)).sum();
            assert_eq!(passed, fdb.away);
            assert!(passed <= STATIONS as usize / 4 + 256, "{name}, seed {seed}: {passed} away");
            assert!((0..STATIONS).all(|n| fdb.lookup(FdbKey::new(1, mac(n)), T0) == Some(P1)));
        }
    }
}

#[test]
fn configuration_errors_say_what_was_expected() {
    let config = FdbConfig { capacity: 0, ..FdbConfig::default() };
    let error = Fdb::new(config, HashKey::new([0, 0])).unwrap_err();
    assert_eq!(error.to_string(), "an FDB of 0 entries: expected 1 to 1048576");
    let config = FdbConfig { ageing_ms: 0, ..FdbConfig::default() };
    assert!(Fdb::new(config, HashKey::new([0, 0])).is_err());
}

#[test]
fn an_entry_for_every_vlan_stands_in_and_cannot_be_taken_over() {
    let mut fdb = fdb(64);
    fdb.insert_static(FdbKey::any_vlan(mac(1)), P1).unwrap();
    let in_vlan = |vid| FdbKey::new(vid, mac(1));
    assert_eq!(fdb.lookup(in_vlan(7), T0), Some(P1));
    assert_eq!(fdb.learn(in_vlan(7), P2, T0), Learned::StaticConflict);
    assert_eq!(fdb.lookup(in_vlan(7), T0), Some(P1));
    assert_eq!(fdb.learn(in_vlan(7), P1, T0), Learned::New);
    assert_eq!(fdb.learn(in_vlan(7), P2, T0), Learned::StaticConflict, "nor moved");
    assert_eq!(fdb.lookup(in_vlan(7), Tick(1 << 20)), Some(P1), "its own entry has aged");
    fdb.insert_static(in_vlan(9), P2).unwrap();
    assert_eq!(fdb.lookup(in_vlan(9), T0), Some(P2), "the VLAN's own static entry goes first");
    assert_eq!(fdb.learn(in_vlan(9), P2, T0), Learned::Known);
    assert!(fdb.remove(FdbKey::any_vlan(mac(1))));
    assert_eq!(fdb.lookup(in_vlan(8), T0), None);
}

#[test]
fn the_zero_address_is_an_address_like_any_other() {
    let mut fdb = fdb(64);
    let zero = MacAddr([0; 6]);
    fdb.insert_static(FdbKey::any_vlan(mac(1)), P1).unwrap();
    for vid in [0, 1, 4095] {
        assert_eq!(fdb.lookup(FdbKey::new(vid, zero), T0), None);
    }
    fdb.insert_static(FdbKey::any_vlan(zero), P2).unwrap();
    assert_eq!(fdb.lookup(FdbKey::new(7, zero), T0), Some(P2));
}
