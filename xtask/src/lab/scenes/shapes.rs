//! Frames of unusual size or dress: jumbo, fragments, super-frames, unfinished checksums, and
//! captures whose link type is not Ethernet.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::servers::{self, CURL, DIG};
use crate::lab::Desk;
use crate::lab::ns::{Ns, Pair};

/// Frames of 9,014 bytes on a wire that allows them.
pub(super) fn jumbo(desk: &Desk) -> Result<()> {
    let pair = Pair::wire()?;
    pair.a.run("ip link set eth0 mtu 9000")?;
    pair.b.run("ip link set eth0 mtu 9000")?;
    let site = servers::site(desk)?;
    let _web = servers::web(&pair.b, "192.0.2.2", &site, &desk.dir)?;
    let dump = pair.a.dump("eth0", &desk.out("jumbo.pcap"), "")?;
    pair.a.run("ping -n -c 2 -i 0.2 -M do -s 8972 192.0.2.2")?;
    pair.a.run(&format!("{CURL} http://192.0.2.2/picture.bin"))?;
    dump.stop();
    Ok(())
}

/// Datagrams of 4,000 bytes and more over an MTU of 1,500.
pub(super) fn fragments(desk: &Desk) -> Result<()> {
    let big = desk.put("datagram", &[b'f'; 5000])?;
    let send = |ns: &Ns, to: &str| {
        ns.run(&format!("socat -u -b 5000 OPEN:{big},rdonly {to},connect-timeout=3"))
    };
    let pair = Pair::wire()?;
    let listener = pair.b.start("socat -u -b 9000 UDP4-RECV:5000 OPEN:/dev/null", &desk.dir)?;
    let dump = pair.a.dump("eth0", &desk.out("fragments-ipv4.pcap"), "")?;
    pair.a.run("ping -n -c 2 -i 0.2 -s 4000 192.0.2.2")?;
    send(&pair.a, "UDP4-SENDTO:192.0.2.2:5000")?;
    dump.stop();
    drop(listener);
    drop(pair);

    let pair = Pair::wire_ipv6()?;
    let _listener = pair.b.start("socat -u -b 9000 UDP6-RECV:5000 OPEN:/dev/null", &desk.dir)?;
    let dump = pair.a.dump("eth0", &desk.out("fragments-ipv6.pcap"), "")?;
    pair.a.run("ping -n -c 2 -i 0.2 -s 4000 2001:db8::2")?;
    send(&pair.a, "UDP6-SENDTO:[2001:db8::2]:5000")?;
    dump.stop();
    Ok(())
}

/// The same 100 kB, once as the sender's stack hands it down, once as a wire carries it.
pub(super) fn gso(desk: &Desk) -> Result<()> {
    let noise = desk.put("www/data.bin", &vec![0x5a; 100_000])?;
    let site = noise.trim_end_matches("/data.bin").to_owned();
    for (file, pair) in
        [("gso-on.pcap", Pair::offloaded as fn() -> _), ("gso-off.pcap", Pair::wire)]
    {
        let pair = pair()?;
        let _web = servers::web(&pair.b, "192.0.2.2", &site, &desk.dir)?;
        let dump = pair.b.dump("eth0", &desk.out(file), "tcp")?;
        pair.a.run(&format!("{CURL} http://192.0.2.2/data.bin"))?;
        dump.stop();
    }
    Ok(())
}

/// Checksums that the sender left to a NIC which is not there.
pub(super) fn tx_checksum(desk: &Desk) -> Result<()> {
    let pair = Pair::offloaded()?;
    let _dns = servers::dnsmasq(
        &pair.b,
        desk,
        &[
            "--listen-address=192.0.2.2",
            "--bind-interfaces",
            "--address=/practice.example/192.0.2.10",
        ],
    )?;
    let dump = pair.a.dump("eth0", &desk.out("tx-checksum.pcap"), "")?;
    pair.a.run(&format!("{DIG} @192.0.2.2 server.practice.example A"))?;
    pair.a.run(&format!("{DIG} +tcp @192.0.2.2 server.practice.example A"))?;
    dump.stop();
    Ok(())
}

/// The kernel's cooked headers (`-i any`) and bare IP (a tun device).
pub(super) fn cooked(desk: &Desk) -> Result<()> {
    let pair = Pair::wire()?;
    for (file, linktype) in [("sll.pcap", "LINUX_SLL"), ("sll2.pcap", "LINUX_SLL2")] {
        let dump = pair.a.dump("any", &desk.out(file), &format!("-y {linktype}"))?;
        pair.a.run("ping -n -c 2 -i 0.2 192.0.2.2")?;
        pair.a.run("ping -n -c 1 127.0.0.1")?;
        dump.stop();
        pair.a.run("ip neigh flush all")?;
    }
    // two tun devices whose far ends are joined by UDP: the kernel hands over IP and nothing else
    let b = pair.b.start(
        "socat TUN:198.51.100.2/24,tun-name=tun0,iff-no-pi,up UDP4:192.0.2.1:7000,bind=:7000",
        &desk.dir,
    )?;
    let a = pair.a.start(
        "socat TUN:198.51.100.1/24,tun-name=tun0,iff-no-pi,up UDP4:192.0.2.2:7000,bind=:7000",
        &desk.dir,
    )?;
    sleep(Duration::from_millis(500));
    let dump = pair.a.dump("tun0", &desk.out("raw-ip.pcap"), "")?;
    pair.a.run("ping -n -c 2 -i 0.2 198.51.100.2")?;
    pair.a.attempt("socat -u OPEN:/dev/null TCP4:198.51.100.2:22,connect-timeout=3")?;
    dump.stop();
    drop((a, b));
    Ok(())
}
