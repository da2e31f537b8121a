//! Databases told by their bytes: their times are never trusted, their pages are kept apart.
//!
//! Called a database by mistake, a file costs a read; not called one, it may be a change missed.
//! So a torn page, whose checksum fails, still goes by its name where that is known.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file as far as it was looked at.
pub(crate) struct Look<'a> {
    /// The first bytes.
    pub(crate) head: &'a [u8],
    /// For bytes further on.
    pub(crate) file: Option<&'a fs::File>,
    pub(crate) path: &'a Path,
}

impl Look<'_> {
    fn at(&self, offset: usize, magic: &[u8]) -> bool {
        self.head.get(offset..).is_some_and(|head| head.starts_with(magic))
    }

    fn le16(&self, at: usize) -> Option<u16> {
        self.head.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]))
    }

    fn le32(&self, at: usize) -> Option<u32> {
        self.head.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// Bytes beyond the head; fewer where the file ends.
    fn read(&self, offset: usize, len: usize) -> Vec<u8> {
        if let Some(bytes) = self.head.get(offset..offset + len) {
            return bytes.to_vec();
        }
        let mut bytes = vec![0; len];
        let read = self.file.and_then(|file| file.read_at(&mut bytes, offset as u64).ok());
        bytes.truncate(read.unwrap_or(0));
        bytes
    }

    fn named(&self, known: &[&str]) -> bool {
        let extension = self.path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        known.iter().any(|k| k.eq_ignore_ascii_case(extension))
    }
}

/// Which database a file is of; "by its name" where there are no bytes to go by.
pub(crate) fn of(look: &Look<'_>) -> Option<&'static str> {
    sqlite(look)
        .or_else(|| firebird(look))
        .or_else(|| innodb(look))
        .or_else(|| mysql(look))
        .or_else(|| postgres(look))
        .or_else(|| mssql(look))
        .or_else(|| others(look))
}

/// Which database a file is of, by its first bytes or by its name.
pub fn database(head: &[u8], path: &Path) -> Option<&'static str> {
    of(&Look { head, file: None, path })
}

/// sqlite.org/fileformat2.html: 1.3 the header, 3 the rollback journal, 4 the log;
/// sqlite.org/walformat.html: 2 the index of the log.
fn sqlite(look: &Look<'_>) -> Option<&'static str> {
    const INDEX: u32 = 3_007_000; // in the byte order of the machine that wrote it
    let wal = look.at(0, &[0x37, 0x7f, 0x06, 0x82]) || look.at(0, &[0x37, 0x7f, 0x06, 0x83]);
    if look.at(0, b"SQLite format 3\0") {
        Some("SQLite")
    } else if wal {
        Some("SQLite WAL")
    } else if look.at(0, &[0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]) {
        Some("SQLite journal")
    } else if look.at(0, &INDEX.to_le_bytes()) || look.at(0, &INDEX.to_be_bytes()) {
        Some("SQLite WAL index")
    } else {
        None
    }
}

/// jrd/ods.h: `pag_type` 1 (header), `hdr_page_size`, `hdr_ods_version` with Firebird's flag.
fn firebird(look: &Look<'_>) -> Option<&'static str> {
    let page = look.le16(16)?;
    let version = look.le16(18)?;
    let good = look.at(0, &[1])
        && (1024..=32768).contains(&page)
        && page.is_power_of_two()
        && version & 0x8000 != 0
        && version & 0xff < 0x20;
    good.then_some("Firebird")
}

/// Whether a Firebird file, by its first bytes, is under nbackup's lock: `hdr_flags` at 42 in ODS
/// 11 to 13, `hdr_backup_mask` 0xC00 (jrd/ods.h). `None`: no Firebird file, or of another version.
pub fn is_locked(head: &[u8]) -> Option<bool> {
    let look = Look { head, file: None, path: Path::new("") };
    firebird(&look)?;
    (11..=13).contains(&(look.le16(18)? & 0xff)).then_some(look.le16(42)? & 0xc00 != 0)
}

/// The first page of a tablespace, or the head of a redo log (fil0fil.h, fsp0fsp.h, buf0buf.cc,
/// `log0log.h` of MariaDB 10.11 and MySQL 8).
fn innodb(look: &Look<'_>) -> Option<&'static str> {
    let be32 =
        |at: usize| look.head.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    // redo: format, then at 508 the CRC-32C of what is before
    if let (Some(head), Some(sum)) = (look.head.get(..508), be32(508))
        && sum != 0
        && crc32c::crc32c(head) == sum
    {
        return Some("InnoDB redo log");
    }
    // FIL_PAGE_OFFSET 0, FIL_PAGE_TYPE FSP_HDR (8), the space's id in both headers
    let space = be32(34)?;
    if be32(4)? != 0 || !look.at(24, &[0, 8]) || be32(38)? != space || be32(46)? == 0 {
        return None;
    }
    let flags = be32(54)?;
    let named = look.named(&["ibd", "ibu"]) || look.path.ends_with("ibdata1");
    (named || first_page(look, flags)).then_some("InnoDB")
}

/// Whether page 0 has a checksum of one of InnoDB's kinds, or its LSN again at its end.
fn first_page(look: &Look<'_>, flags: u32) -> bool {
    let size = |shift: u32| 512_usize << (shift & 15);
    let full = flags & 0x10 != 0;
    let (zip, pages) = (flags >> 1 & 15, flags >> 6 & 15);
    let size = match (full, zip, pages) {
        (true, _, _) => size(flags),
        (false, 0, 0) => 16 << 10,
        (false, 0, pages) => size(pages),
        (false, zip, _) => size(zip),
    };
    if !(1024..=65536).contains(&size) {
        return false;
    }
    let page = look.read(0, size);
    if page.len() < size {
        return false;
    }
    let be32 = |at: usize| u32::from_be_bytes(std::array::from_fn(|i| page[at + i]));
    let crc = |from: usize, to: usize| crc32c::crc32c(&page[from..to]);
    let lsn = be32(20) != 0 && (be32(size - 4) == be32(20) || be32(size - 8) == be32(20));
    lsn || be32(size - 4) == crc(0, size - 4)
        || be32(0) == crc(4, 26) ^ crc(38, size - 8)
        || be32(0) == crc(4, 16) ^ crc(24, 26) ^ crc(34, size)
}

/// What MySQL and MariaDB keep beside InnoDB: `mi_static.c` (MyISAM), `ma_static.c`,
/// `ma_loghandler.c`, `ma_control_file.c` (Aria), `log_event.h` (`BINLOG_MAGIC`); rows of MyISAM
/// and Aria begin with nothing of their own: they go by their name, or by the folder they lie in.
fn mysql(look: &Look<'_>) -> Option<&'static str> {
    const MAGIC: [([u8; 4], &str); 7] = [
        ([0xfe, 0xfe, 7, 1], "MyISAM"),
        ([0xfe, 0xfe, 8, 2], "MyISAM"), // packed
        ([0xfe, 0xfe, 9, 3], "Aria"),
        ([0xfe, 0xfe, 10, 1], "Aria"), // packed
        ([0xfe, 0xfe, 11, 1], "Aria log"),
        ([0xfe, 0xfe, 12, 1], "Aria control file"),
        ([0xfe, b'b', b'i', b'n'], "MySQL binary log"),
    ];
    let known = MAGIC.iter().find(|(magic, _)| look.at(0, magic)).map(|(_, what)| *what);
    known.or_else(|| in_data_folder(look.path).then_some("MySQL (by its place)"))
}

/// Whether a path lies in a data folder of MySQL or MariaDB, or in a schema's folder in one.
fn in_data_folder(path: &Path) -> bool {
    let data = |dir: &Path| dir.join("ibdata1").is_file() && dir.join("mysql").is_dir();
    path.ancestors().skip(1).take(2).any(data)
}

/// What has no page header (commit status, maps of relations), and pages that are not written yet,
/// by the cluster that they lie in.
fn postgres(look: &Look<'_>) -> Option<&'static str> {
    let placed = || in_cluster(look.path).then_some("PostgreSQL (by its place)");
    postgres_bytes(look).or_else(placed)
}

/// storage/bufpage.h, access/xlog_internal.h, catalog/pg_control.h of PostgreSQL 9.3 to 18.
fn postgres_bytes(look: &Look<'_>) -> Option<&'static str> {
    let place = |at: usize| look.le16(at).unwrap_or(0);
    // pd_pagesize_version: 8192 | layout version 4; pd_lower, pd_upper, pd_special in order
    let ordered = 24 <= place(12) && place(12) <= place(14) && place(14) <= place(16);
    if look.le16(18)? == 0x2004 && ordered && place(16) <= 8192 {
        return Some("PostgreSQL");
    }
    // xlp_magic, XLP_LONG_HEADER, xlp_seg_size, xlp_xlog_blcksz
    let segment = look.le32(32).unwrap_or(0);
    let log = (0xd060..0xd200).contains(&place(0))
        && place(2) & 2 != 0
        && segment.is_power_of_two()
        && (1 << 20..=1 << 30).contains(&segment);
    if log && look.le32(36).is_some_and(u32::is_power_of_two) {
        return Some("PostgreSQL WAL");
    }
    // pg_control_version, catalog_version_no (a date and a digit)
    let catalog = look.le32(12).unwrap_or(0);
    let control =
        (900..3000).contains(&look.le32(8)?) && (200_000_000..300_000_000).contains(&catalog);
    (control && look.path.ends_with("pg_control")).then_some("PostgreSQL control file")
}

/// Whether a path lies where a PostgreSQL cluster keeps data.
fn in_cluster(path: &Path) -> bool {
    const FOLDERS: [&str; 11] = [
        "base",
        "global",
        "pg_wal",
        "pg_xact",
        "pg_multixact",
        "pg_subtrans",
        "pg_commit_ts",
        "pg_twophase",
        "pg_logical",
        "pg_replslot",
        "pg_stat",
    ];
    let cluster =
        |dir: &Path| dir.join("PG_VERSION").is_file() && dir.join("global/pg_control").is_file();
    path.ancestors().skip(1).any(|dir| {
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // a tablespace elsewhere: PG_15_202209061
        let space = name.strip_prefix("PG_").and_then(|rest| rest.split_once('_'));
        let space = space.is_some_and(|(a, b)| {
            let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
            digits(a) && digits(b)
        });
        space || FOLDERS.contains(&name) && dir.parent().is_some_and(cluster)
    })
}

/// Pages of 8 KiB: `m_headerVersion` 1, `m_type`, `m_pageId` at 32. Page 0 is the file's header
/// (15), 1 PFS (11), 2 GAM (8), 3 SGAM (9); in a log a
/// virtual log file comes next: 0xAB, its parity 0x40 or 0x80 (so in real ones of 2000 to 2008):
/// Microsoft, "Pages and extents architecture guide";
/// P. Randal, "Inside the storage engine: anatomy of a page".
fn mssql(look: &Look<'_>) -> Option<&'static str> {
    if !look.at(0, &[1, 15]) {
        return None;
    }
    let pages = [(1_u8, 11_u8), (2, 8), (3, 9)].iter().all(|(number, kind)| {
        let page = look.read(usize::from(*number) * 8192, 36);
        page.starts_with(&[1, *kind]) && page.get(32..36) == Some(&[*number, 0, 0, 0])
    });
    let log = matches!(look.read(8192, 2)[..], [0xab, 0x40 | 0x80]);
    (pages || log || look.named(&["mdf", "ndf", "ldf"])).then_some("MSSQL")
}

fn others(look: &Look<'_>) -> Option<&'static str> {
    // mdbtools HACKING.md: 0x100, then the engine's name
    if look.at(4, b"Standard Jet DB\0") || look.at(4, b"Standard ACE DB\0") {
        return Some("Access");
    }
    // lmdb mdb.c: MDB_MAGIC after the page header: 16 bytes, 12 where a word has 32 bits
    if look.le32(16) == Some(0xbeef_c0de) || look.le32(12) == Some(0xbeef_c0de) {
        return Some("LMDB");
    }
    // 4D documents no bytes; the rest are companions whose bytes say nothing
    let four = ["4dd", "4dindx", "4dindy", "4dsyncheader", "4dsyncdata"];
    let named = [
        (&four[..], "4D (by its name)"),
        (&["fdb", "gdb", "ib", "delta"], "Firebird (by its name)"),
        (&["ibd", "dblwr"], "InnoDB (by its name)"),
        (&["myd", "myi"], "MyISAM (by its name)"),
        (&["mad", "mai"], "Aria (by its name)"),
        (&["mdf", "ndf", "ldf"], "MSSQL (by its name)"),
        (&["mdb", "accdb"], "Access (by its name)"),
    ];
    named.iter().find(|(names, _)| look.named(names)).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(head: &[u8], path: &str) -> Option<&'static str> {
        of(&Look { head, file: None, path: Path::new(path) })
    }

    #[test]
    fn sqlite_and_its_companions() {
        assert_eq!(is(b"SQLite format 3\0....", "x"), Some("SQLite"));
        assert_eq!(is(&[0x37, 0x7f, 6, 0x82, 0], "x-wal"), Some("SQLite WAL"));
        assert_eq!(is(&[0x37, 0x7f, 6, 0x84, 0], "x-wal"), None);
        assert_eq!(is(b"SQLite format 4\0....", "x"), None);
    }

    #[test]
    fn firebird_and_its_lock() {
        let mut page = [0; 64];
        page[0] = 1;
        page[16..20].copy_from_slice(&[0, 0x40, 12, 0x80]);
        assert_eq!(is(&page, "practice"), Some("Firebird"));
        assert_eq!(is_locked(&page), Some(false));
        page[42..44].copy_from_slice(&[0x12, 0x04]);
        assert_eq!(is_locked(&page), Some(true));
        page[18] = 14;
        assert_eq!(is_locked(&page), None, "a version whose header is not known here");
        for (at, near) in [(0, 2), (17, 0x41), (19, 0)] {
            let mut page = page;
            page[at] = near;
            assert_eq!(is(&page, "practice"), None, "byte {at}");
        }
    }

    /// Page 0 of a tablespace as `full_crc32` or `crc32` would have it.
    fn tablespace(full: bool) -> Vec<u8> {
        let mut page = vec![0; 16384];
        page[20..26].copy_from_slice(&[0, 0, 0xb2, 0xb7, 0, 8]);
        page[37] = 5;
        page[41] = 5;
        page[49] = 4;
        page[57] = if full { 0x15 } else { 0x21 };
        if full {
            let sum = crc32c::crc32c(&page[..16380]);
            page[16380..].copy_from_slice(&sum.to_be_bytes());
        } else {
            let sum = crc32c::crc32c(&page[4..26]) ^ crc32c::crc32c(&page[38..16376]);
            page[..4].copy_from_slice(&sum.to_be_bytes());
        }
        page
    }

    #[test]
    fn innodb_by_its_checksums() {
        for full in [true, false] {
            let page = tablespace(full);
            assert_eq!(is(&page, "patients"), Some("InnoDB"), "full_crc32 {full}");
            let mut torn = page.clone();
            torn[300] ^= 1;
            assert_eq!(is(&torn, "patients"), None, "nothing but a shape");
            assert_eq!(is(&torn, "patients.ibd"), Some("InnoDB"), "a torn page of a known name");
            for at in [7, 25, 37, 49] {
                let mut near = page.clone();
                near[at] ^= 0x0c;
                assert_eq!(is(&near, "patients"), None, "byte {at}");
            }
        }
        let mut redo = vec![0; 512];
        redo[..4].copy_from_slice(b"Phys");
        let sum = crc32c::crc32c(&redo[..508]);
        redo[508..].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(is(&redo, "ib_logfile0"), Some("InnoDB redo log"));
        redo[100] = 1;
        assert_eq!(is(&redo, "ib_logfile0"), None);
        assert_eq!(is(&[0; 4096], "zeroes"), None);
    }

    #[test]
    fn mysql_by_bytes_names_and_places() {
        // as MariaDB 10.11 writes them
        assert_eq!(is(&[0xfe, 0xfe, 7, 1, 0, 1], "my.MYI"), Some("MyISAM"));
        assert_eq!(is(&[0xfe, 0xfe, 9, 3, 0x0c, 0], "copy"), Some("Aria"));
        assert_eq!(is(b"\xfe\xfe\x0b\x01MARIALOG", "aria_log.00000001"), Some("Aria log"));
        assert_eq!(is(&[0xfe, 0xfe, 12, 1, 10], "aria_log_control"), Some("Aria control file"));
        assert_eq!(is(b"\xfebin\x69", "bin.000001"), Some("MySQL binary log"));
        assert_eq!(is(&[0xfe, 0xfe, 7, 2], "x"), None);
        assert_eq!(is(&[3, 0, 0x6b, 1], "my.MYD"), Some("MyISAM (by its name)"));
        let dir = tempfile::tempdir().unwrap();
        let rows = dir.path().join("practice/patients.CSV");
        let path = rows.to_str().unwrap();
        fs::create_dir_all(dir.path().join("mysql")).unwrap();
        assert_eq!(is(b"1,\"x\"", path), None);
        fs::write(dir.path().join("ibdata1"), "").unwrap();
        assert_eq!(is(b"1,\"x\"", path), Some("MySQL (by its place)"));
        assert_eq!(is(b"", dir.path().join("a/b/c").to_str().unwrap()), None, "too deep");
    }

    #[test]
    fn mssql_by_its_first_pages() {
        let mut file = vec![0; 4 * 8192];
        for (number, kind) in [15, 11, 8, 9].into_iter().enumerate() {
            file[number * 8192..][..2].copy_from_slice(&[1, kind]);
            file[number * 8192 + 32] = number as u8;
        }
        assert_eq!(is(&file, "practice"), Some("MSSQL"));
        file[3 * 8192 + 1] = 8;
        assert_eq!(is(&file, "practice"), None);
        assert_eq!(is(&file, "practice.MDF"), Some("MSSQL"));
        file[8192..8194].copy_from_slice(&[0xab, 0x40]);
        assert_eq!(is(&file, "practice"), Some("MSSQL"), "a log");
    }

    #[test]
    fn what_lies_in_a_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let state = at("pg_logical/replorigin_checkpoint");
        assert_eq!(is(&[0xde, 0xda, 0x57, 0x12], &state), None);
        fs::create_dir(dir.path().join("global")).unwrap();
        fs::write(at("PG_VERSION"), "15\n").unwrap();
        fs::write(at("global/pg_control"), "").unwrap();
        let placed = Some("PostgreSQL (by its place)");
        assert_eq!(is(&[0xde, 0xda, 0x57, 0x12], &state), placed, "however short");
        assert_eq!(is(&[0; 4096], &at("base/5/16384")), placed, "a page not written yet");
        assert_eq!(is(b"port = 5432", &at("postgresql.conf")), None);
    }

    #[test]
    fn postgres_access_and_what_is_none() {
        let mut page = [0; 64];
        page[12..20].copy_from_slice(&[0xd4, 0, 0x50, 0x1e, 0, 0x20, 4, 0x20]);
        assert_eq!(is(&page, "1259"), Some("PostgreSQL"));
        page[14] = 0;
        page[15] = 0;
        assert_eq!(is(&page, "1259"), None, "free space that ends before it begins");
        assert_eq!(is(b"\0\x01\0\0Standard Jet DB\0", "x"), Some("Access"));
        assert_eq!(is(b"\0\x01\0\0Standard ACE DB\0", "x"), Some("Access"));
        assert_eq!(is(b"\0\x01\0\0Standard Jet dB\0", "x"), None);
        assert_eq!(is(b"", "scans.4DD"), Some("4D (by its name)"));
        assert_eq!(is(b"hello", "notes.txt"), None);
        assert_eq!(is(&[0xff; 4096], "noise"), None);
    }
}
