//! What crosses in clear, or nearly so: telnet, NTLM version 1, databases, imaging servers.

use crate::wire::{rules, tcp, tcp_from};

/// Rules and severities only.
fn names(frames: &[Vec<u8>]) -> Vec<(&'static str, &'static str)> {
    rules(frames).into_iter().map(|(rule, severity, _)| (rule, severity)).collect()
}

#[test]
fn a_device_managed_by_telnet() {
    let options = b"\xff\xfd\x18\xff\xfb\x01\xff\xfb\x03";
    let said: [(bool, &[u8]); 3] =
        [(false, options), (true, b"\xff\xfb\x18\xff\xfd\x01\xff\xfd\x03"), (false, b"login: ")];
    assert_eq!(rules(&tcp(23, &said)), [("lan.telnet", "medium", vec![1])]);
    assert_eq!(rules(&tcp(2323, &said)), [("lan.telnet", "medium", vec![1])]);
    // a server that nobody answers; another protocol on telnet's port
    assert!(rules(&tcp(23, &said[..1])).is_empty());
    let ssh: [(bool, &[u8]); 2] =
        [(false, b"SSH-2.0-OpenSSH_9.2\r\n"), (true, b"SSH-2.0-OpenSSH_9.2\r\n")];
    assert!(rules(&tcp(23, &ssh)).is_empty());
}

#[test]
fn settings_of_a_device_by_http() {
    let ask = b"GET /startup-config HTTP/1.1\r\nHost: 192.168.1.10\r\n\r\n";
    let get = |answer: &[u8]| rules(&tcp(8080, &[(true, ask), (false, answer)]));
    let found = [("lan.settings-in-clear", "medium", vec![1])];
    assert_eq!(get(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhostname a"), found);
    assert!(get(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").is_empty());
}

/// A message of SMB 2 (MS-SMB2 section 2.2.1): a command, and what it carries.
fn smb2(command: u8, response: bool, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xfe, b'S', b'M', b'B', 64, 0];
    bytes.resize(64, 0);
    bytes[12] = command;
    bytes[16] = u8::from(response);
    bytes.extend(body);
    let mut framed = (bytes.len() as u32).to_be_bytes().to_vec();
    framed.extend(bytes);
    framed
}

/// The third message of NTLM (MS-NLMP section 2.2.1.3) with an answer of this length.
fn authenticate(nt_length: u16, flags: u32) -> Vec<u8> {
    let mut bytes = b"NTLMSSP\0\x03\0\0\0".to_vec();
    let mut field = |length: u16, at: u32| {
        bytes.extend(length.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend(at.to_le_bytes());
    };
    field(24, 64);
    field(nt_length, 88);
    (0..4).for_each(|_| field(0, 88));
    bytes.extend(flags.to_le_bytes());
    bytes.resize(88 + usize::from(nt_length), 0x5a);
    bytes
}

#[test]
fn a_logon_by_the_old_ntlm() {
    let ask = smb2(0, false, &[36, 0, 1, 0, 1, 0, 0, 0]);
    let mut settled = vec![65, 0, 3, 0, 0x11, 3];
    settled.resize(65, 0);
    let settled = smb2(0, true, &settled);
    let logon = |nt_length: u16, flags: u32| {
        let mut setup = vec![25, 0, 0, 1];
        setup.resize(24, 0);
        setup.extend(authenticate(nt_length, flags));
        let setup = smb2(1, false, &setup);
        names(&tcp(445, &[(true, &ask), (false, &settled), (true, &setup)]))
    };
    assert_eq!(logon(24, 0), [("lan.ntlm1", "medium")]);
    // with extended session security it is still version 1
    assert_eq!(logon(24, 0x0008_0000), [("lan.ntlm1", "medium")]);
    // version 2, and nobody
    assert!(logon(250, 0).is_empty());
    assert!(logon(0, 0).is_empty());
}

/// PRELOGIN of SQL Server (MS-TDS section 2.2.6.5) with version and encryption.
fn prelogin(kind: u8, encryption: u8) -> Vec<u8> {
    let mut bytes = vec![kind, 1, 0, 26, 0, 0, 1, 0];
    bytes.extend([0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff]);
    bytes.extend([15, 0, 8, 0, 0, 0, encryption]);
    bytes
}

#[test]
fn databases_without_encryption() {
    let tds = |encryption: u8| {
        let (ask, tell) = (prelogin(0x12, 0), prelogin(4, encryption));
        names(&tcp(49_172, &[(true, &ask), (false, &tell)]))
    };
    assert_eq!(tds(2), [("lan.store-logon", "medium"), ("lan.store-clear", "low")]);
    // the logon alone is encrypted; everything is
    assert_eq!(tds(0), [("lan.store-clear", "low")]);
    assert!(tds(1).is_empty() && tds(3).is_empty());
    assert_eq!(firebird(b"Legacy_Auth", false).len(), 2);
    assert_eq!(firebird(b"Srp256", false), [("lan.store-clear", "low")]);
    assert!(firebird(b"Srp256", true).is_empty());
}

/// Firebird's connection (`remote/protocol.h`), and behind it encryption or the database's name.
fn firebird(plugins: &[u8], encrypts: bool) -> Vec<(&'static str, &'static str)> {
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<_>>();
    let path = b"practice.fdb";
    let mut user = vec![10, plugins.len() as u8];
    user.extend(plugins);
    let mut connect = words(&[1, 19, 3, 36, path.len() as u32]);
    connect.extend(path);
    connect.extend(words(&[1, user.len() as u32]));
    connect.extend(&user);
    connect.resize(connect.len().next_multiple_of(4), 0);
    connect.extend(words(&[0xffff_800d, 1, 0, 5, 2]));
    let accept = words(&[3, 0xffff_800d, 1, 5]);
    let mut next = Vec::new();
    if encrypts {
        next.extend(words(&[96, 4]));
        next.extend(b"Arc4");
        next.extend(words(&[9]));
        next.extend(b"Symmetric\0\0\0");
    } else {
        next.extend(words(&[19, 0, path.len() as u32]));
        next.extend(path);
        next.extend(words(&[0]));
    }
    names(&tcp(3060, &[(true, &connect), (false, &accept), (true, &next)]))
}

/// A request for an association in DICOM (PS3.8 table 9-11), or its answer.
fn associate(kind: u8, caller: &str) -> Vec<u8> {
    let context = b"1.2.840.10008.3.1.1.1";
    let mut items = vec![0x10, 0, 0, context.len() as u8];
    items.extend(context);
    let mut bytes = vec![kind, 0];
    bytes.extend((68 + items.len() as u32).to_be_bytes());
    bytes.extend([0, 1, 0, 0]);
    bytes.extend(format!("{:<16}{caller:<16}", "PACS").bytes());
    bytes.resize(74, 0);
    bytes.extend(items);
    bytes
}

#[test]
fn an_imaging_server_that_knows_everybody() {
    let calls = |callers: &[&str], answer: u8| {
        let mut frames = Vec::new();
        for (own_port, caller) in (50_000..).zip(callers) {
            let mut tell = associate(2, caller);
            if answer == 3 {
                tell = vec![3, 0, 0, 0, 0, 4, 0, 1, 1, 3];
            }
            let said: [(bool, &[u8]); 2] = [(true, &associate(1, caller)), (false, &tell)];
            frames.extend(tcp_from(own_port, 11_112, &said));
        }
        names(&frames)
    };
    let clear = ("lan.store-clear", "low");
    assert_eq!(calls(&["CT1", "CT2", "ECHO"], 2), [("lan.dicom-anyone", "low"), clear]);
    // two programs; one that calls again; refused
    assert_eq!(calls(&["CT1", "VIEWER"], 2), [clear]);
    assert_eq!(calls(&["CT1", "CT1", "CT1"], 2), [clear]);
    assert!(calls(&["CT1", "CT2", "ECHO"], 3).is_empty());
}
