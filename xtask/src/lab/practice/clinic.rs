//! The medical side: a database, results, images, and the backup of it all.

use std::fmt::Write as _;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use super::house::keep;
use super::persons::{ANALYSED, COPIED, IMAGED, NOTED, REGISTERED};
use super::{Lab, Part, plant, spoken};
use crate::lab::software;

/// Notes written into the database, and bytes of each.
const NOTES: usize = 40;
const NOTE_BYTES: usize = 16_000;

/// Firebird and its clients.
pub(super) static DATABASE: Part = Part {
    name: "database",
    what: "Firebird, with a client that writes all day",
    tools: &[software::FIREBIRD],
    start: |lab| {
        keep(lab, software::firebird(&lab.server, "192.168.1.10", &lab.desk))?;
        software::listens(&lab.server, 3050)
    },
    play: |lab| {
        let mut sql = String::new();
        for n in 0..NOTES {
            let body = "x".repeat(NOTE_BYTES);
            // writing into a string cannot fail
            _ = writeln!(sql, "insert into notes values({n}, '{NOTED} {body}');");
        }
        sql += "commit;\nselect count(*) from notes;\n";
        software::sql(&lab.reception, "192.168.1.10", &sql, &lab.desk)
    },
    plants: &[],
    speaks: &[spoken("firebird", "192.168.1.10", 3050)],
};

/// Orders and results by HL7.
pub(super) static RESULTS: Part = Part {
    name: "results",
    what: "HL7 version 2 over MLLP: ADT from the reception, ORU from the laboratory",
    tools: &[],
    start: |lab| {
        let own = own()?;
        let argv = [&own, "lab-hl7", "listen", "192.168.1.10:2575"];
        keep(lab, lab.server.start_argv(&argv, &lab.desk.dir))?;
        software::listens(&lab.server, 2575)
    },
    play: |lab| {
        let head = |kind: &str, id: &str| {
            format!("MSH|^~\\&|PRAXIS|PRACTICE|LAB|LAB|20261123081500||{kind}|{id}|P|2.5\r")
        };
        let person = |name: &str| format!("PID|1||4711^^^PRACTICE||{name}^Toni||19580412|F\r");
        let register = head("ADT^A04", "1001") + &person(REGISTERED) + "PV1|1|O\r";
        let result = head("ORU^R01", "2001")
            + &person(ANALYSED)
            + "OBR|1||L77|58410-2^CBC^LN\rOBX|1|NM|718-7^Hemoglobin^LN||13.2|g/dL|12-16|N|||F\r";
        for (from, file, message) in
            [(&lab.reception, "adt.hl7", register), (&lab.modality, "oru.hl7", result)]
        {
            let file = lab.desk.put(file, message.as_bytes())?;
            from.run_argv(&[&own()?, "lab-hl7", "send", "192.168.1.10:2575", &file])?;
        }
        Ok(())
    },
    plants: &[],
    speaks: &[spoken("hl7", "192.168.1.10", 2575)],
};

/// This program, which speaks HL7 inside a namespace.
fn own() -> Result<String> {
    let own = std::env::current_exe().context("cannot find this program's own path")?;
    Ok(own.to_string_lossy().into_owned())
}

/// An archive that lets anybody in.
pub(super) static IMAGING: Part = Part {
    name: "imaging",
    what: "DCMTK: a modality stores an image, under titles that nobody checks",
    tools: &[&[
        ("storescp", "dcmtk"),
        ("storescu", "dcmtk"),
        ("echoscu", "dcmtk"),
        ("dump2dcm", "dcmtk"),
    ]],
    start: |lab| {
        let images = lab.desk.out("images");
        std::fs::create_dir_all(&images)?;
        let line = format!("storescp -aet ARCHIVE -od {} 10104", images.display());
        keep(lab, lab.imaging.start(&line, &lab.desk.dir))?;
        software::listens(&lab.imaging, 10104)
    },
    play: play_imaging,
    plants: &[
        plant("lan.store-clear", "low", "192.168.1.11"),
        plant("lan.dicom-anyone", "low", "192.168.1.11"),
    ],
    speaks: &[spoken("dicom", "192.168.1.11", 10104)],
};

/// Pixels on each side of the image.
const SIDE: usize = 128;

fn play_imaging(lab: &Lab) -> Result<()> {
    let pixels: Vec<u8> = (0..SIDE * SIDE).map(|n| (n % SIDE + n / SIDE) as u8).collect();
    let pixels = lab.desk.put("pixels.raw", &pixels)?;
    let text = format!(
        "(0008,0016) UI =SecondaryCaptureImageStorage\n(0008,0018) UI [1.2.826.0.1.3680043.2.1]\n\
         (0008,0060) CS [OT]\n(0010,0010) PN [{IMAGED}^Toni]\n(0010,0020) LO [4711]\n\
         (0020,000d) UI [1.2.826.0.1.3680043.2.2]\n(0020,000e) UI [1.2.826.0.1.3680043.2.3]\n\
         (0028,0002) US 1\n(0028,0004) CS [MONOCHROME2]\n(0028,0010) US {SIDE}\n\
         (0028,0011) US {SIDE}\n(0028,0100) US 8\n(0028,0101) US 8\n(0028,0102) US 7\n\
         (0028,0103) US 0\n(7fe0,0010) OW ={pixels}\n"
    );
    let text = lab.desk.put("image.txt", text.as_bytes())?;
    let image = lab.desk.out("image.dcm").display().to_string();
    lab.modality.run(&format!("dump2dcm {text} {image}"))?;
    let archive = "-aec ARCHIVE 192.168.1.11 10104";
    for title in ["CT1", "ROOM2", "ANYBODY"] {
        lab.modality.run(&format!("echoscu -aet {title} {archive}"))?;
    }
    lab.modality.run(&format!("storescu -aet CT1 {archive} {image}")).map(drop)
}

/// The nightly copy that misses the database.
pub(super) static BACKUP: Part = Part {
    name: "backup",
    what: "rsync by size and date, which leaves the open database out",
    tools: &[software::FIREBIRD, &[("rsync", "rsync")]],
    start: |lab| {
        lab.desk.put("files/letters/template.txt", b"Dear colleague,\n")?;
        keep(lab, software::rsync_daemon(&lab.store, &lab.desk))?;
        software::listens(&lab.store, 873)?;
        software::nightly_copy(&lab.server, "192.168.1.40", &lab.desk)
    },
    play: |lab| {
        lab.desk.put(&format!("files/letters/{COPIED}.txt"), b"Dear patient,\n")?;
        sleep(Duration::from_secs(1));
        software::age_database(&lab.desk)?;
        software::nightly_copy(&lab.server, "192.168.1.40", &lab.desk)
    },
    plants: &[plant("backup.too-small", "medium", "192.168.1.10")],
    speaks: &[spoken("rsync", "192.168.1.40", 873)],
};
