//! Servers that more than one scene runs.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Desk;
use super::job::{self, Job};
use super::ns::Ns;

/// Longest wait for a server to be ready.
const READY: Duration = Duration::from_secs(40);
/// What [`firebird`] needs.
pub(super) const FIREBIRD: &[(&str, &str)] =
    &[("firebird", "firebird3.0-server"), ("isql-fb", "firebird3.0-utils")];
/// What [`shadow`], [`screen`] and the client need.
pub(super) const REMOTE_DESKTOP: &[(&str, &str)] = &[
    ("freerdp-shadow-cli", "freerdp2-shadow-x11"),
    ("xfreerdp", "freerdp2-x11"),
    ("winpr-hash", "winpr-utils"),
    ("Xvfb", "xvfb"),
];

/// Starts Firebird on `address`, with users of its own and an empty table of notes in
/// `practice.fdb` on the desk.
pub(super) fn firebird(ns: &Ns, address: &str, desk: &Desk) -> Result<Job> {
    let system = desk.out("firebird");
    let system = system.to_string_lossy();
    job::run(&["cp", "-a", "/var/lib/firebird/3.0/system", &system])?;
    job::run(&["mount", "--bind", &system, "/var/lib/firebird/3.0/system"])?;
    job::run(&["mkdir", "-p", "/run/firebird3.0"])?;
    let settings = "/etc/firebird/3.0/firebird.conf";
    let listen = fs::read_to_string(settings)?.replace("RemoteBindAddress = localhost", "")
        + &format!("\nRemoteBindAddress = {address}\n");
    let listen = desk.put("firebird.conf", listen.as_bytes())?;
    job::run(&["mount", "--bind", &listen, settings])?;
    let own = own_locks(desk)?;
    let user = desk.put(
        "user.sql",
        b"create or alter user sysdba password 'masterkey' using plugin Srp;\ncommit;\n",
    )?;
    ns.run(&format!("{own} isql-fb -q -user sysdba -i {user} security.db"))?;
    let create = format!(
        "create database '{}' page_size 8192 user 'sysdba' password 'x';\n\
         create table notes(id int, body varchar(32000));\ncommit;\n",
        desk.out("practice.fdb").display()
    );
    let create = desk.put("create.sql", create.as_bytes())?;
    ns.run(&format!("{own} isql-fb -q -user sysdba -i {create}"))?;
    ns.start(&format!("{own} firebird"), &desk.dir)
}

/// The command that gives Firebird a folder of its own for locks. By itself it has one for a whole
/// machine, where files are told by device and inode: those of another run's scratch are the same.
fn own_locks(desk: &Desk) -> Result<String> {
    let locks = desk.out("firebird-locks");
    fs::create_dir_all(&locks)?;
    Ok(format!("env FIREBIRD_LOCK={}", locks.display()))
}

/// Runs SQL over the network against what [`firebird`] serves.
pub(super) fn sql(ns: &Ns, address: &str, sql: &str, desk: &Desk) -> Result<()> {
    let sql = desk.put("notes.sql", sql.as_bytes())?;
    let database = format!("{address}/3050:{}", desk.out("practice.fdb").display());
    let own = own_locks(desk)?;
    ns.run(&format!("{own} isql-fb -q -user sysdba -password masterkey -i {sql} {database}"))
        .map(drop)
}

/// An X screen without a monitor, `DISPLAY=:number` in this namespace; it leaves no file behind.
pub(super) fn screen(ns: &Ns, number: u8, desk: &Desk) -> Result<Job> {
    let line = format!("Xvfb :{number} -screen 0 640x480x24 -nolock -nolisten unix");
    let job = ns.start(&line, &desk.dir)?;
    let socket = format!("@/tmp/.X11-unix/X{number}\n");
    until(|| Ok(ns.run("cat /proc/net/unix")?.contains(&socket)))
        .with_context(|| format!("screen {number} of {}", ns.name()))?;
    Ok(job)
}

/// FreeRDP's shadow server for screen 5 of `ns`, which insists on network level authentication.
/// Who may log on: name and password.
pub(super) fn shadow(ns: &Ns, users: &[(&str, &str)], desk: &Desk) -> Result<Job> {
    let mut sam = String::new();
    for (name, password) in users {
        sam += ns.run(&format!("winpr-hash -u {name} -p {password} -f sam"))?.trim_end();
        sam.push('\n');
    }
    let sam = desk.put("SAM", sam.as_bytes())?;
    let line = format!("env DISPLAY=:5 freerdp-shadow-cli /port:3389 /sam-file:{sam} /sec:nla");
    ns.start(&line, &desk.dir)
}

/// rsync's daemon, with the folder `store` of the desk as `backup`.
pub(super) fn rsync_daemon(ns: &Ns, desk: &Desk) -> Result<Job> {
    let config = format!(
        "use chroot = no\nuid = 0\ngid = 0\n[backup]\npath = {}\nread only = no\n",
        desk.out("store").display()
    );
    desk.put("store/.keep", b"")?;
    let config = desk.put("rsyncd.conf", config.as_bytes())?;
    ns.start(&format!("rsync --daemon --no-detach --config={config}"), &desk.dir)
}

/// What the practice's backup does every night: folder and database, by size and date.
pub(super) fn nightly_copy(ns: &Ns, store: &str, desk: &Desk) -> Result<()> {
    let (files, database) = (desk.out("files"), desk.out("practice.fdb"));
    let (files, database) = (files.display(), database.display());
    ns.run(&format!("rsync -a {files} {database} rsync://{store}/backup/")).map(drop)
}

/// The day leaves the database's size and date as they were the night before: pages are made
/// ahead, and Windows leaves the date of a file that is open.
pub(super) fn age_database(desk: &Desk) -> Result<()> {
    let (database, kept) = (desk.out("practice.fdb"), desk.out("store/practice.fdb"));
    let (database, kept) = (database.to_string_lossy(), kept.to_string_lossy());
    job::run(&["truncate", "-r", &database, &kept])?;
    job::run(&["touch", "-r", &kept, &database]).map(drop)
}

/// A file server of its own that lets everybody in and asks for no signatures: share `files` is
/// the folder `samba/files` of the desk.
pub(super) fn file_server(ns: &Ns, address: &str, desk: &Desk, writable: bool) -> Result<Job> {
    let dir = desk.out("samba");
    let dir = dir.display();
    job::run(&["mkdir", "-p", &format!("{dir}/files")])?;
    let rights = if writable { "a+rwX" } else { "a+rX" };
    job::run(&["chmod", "-R", rights, &format!("{dir}/files")])?;
    let read_only = if writable { "no" } else { "yes" };
    let config = format!(
        "[global]\nserver role = standalone server\nworkgroup = PRACTICE\nnetbios name = SERVER\n\
         server string = server\nmap to guest = bad user\nguest account = nobody\n\
         disable netbios = yes\nsmb ports = 445\nload printers = no\nlog level = 0\n\
         bind interfaces only = yes\ninterfaces = {address}/24\n\
         lock directory = {dir}\nstate directory = {dir}\ncache directory = {dir}\n\
         private dir = {dir}\npid directory = {dir}\nncalrpc dir = {dir}/ncalrpc\n\
         usershare path =\n[files]\npath = {dir}/files\nguest ok = yes\nread only = {read_only}\n"
    );
    let config = desk.put("smb.conf", config.as_bytes())?;
    ns.start(&format!("smbd --foreground --no-process-group --debug-stdout -s {config}"), &desk.dir)
}

/// Waits until something listens on a TCP port of `ns`.
pub(super) fn listens(ns: &Ns, port: u16) -> Result<()> {
    until(|| Ok(!ns.run(&format!("ss -H -l -t -n sport = {port}"))?.trim().is_empty()))
        .with_context(|| format!("nothing listens on port {port} of {}", ns.name()))
}

/// Asks until it is so.
fn until(mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !is_so()? {
        ensure!(begun.elapsed() < READY, "not ready within {READY:?}");
        sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// X.224 connection request with a user's cookie and an RDP negotiation request
/// (MS-RDPBCGR 2.2.1.1, in a TPKT of RFC 1006).
pub(super) fn rdp_request(user: &str) -> Vec<u8> {
    let cookie = format!("Cookie: mstshash={user}\r\n");
    let x224 = 6 + cookie.len() + 8; // after the length indicator
    let total = (4 + 1 + x224) as u16;
    let mut out = vec![3, 0];
    out.extend_from_slice(&total.to_be_bytes());
    out.push(x224 as u8);
    out.extend_from_slice(&[0xe0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(cookie.as_bytes());
    out.extend_from_slice(&[1, 0, 8, 0, 3, 0, 0, 0]); // TLS or CredSSP
    out
}
