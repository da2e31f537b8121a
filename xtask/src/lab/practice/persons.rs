//! The invented patients and colleagues whose names cross the practice's network. No output of the
//! analysis may name one of them.

/// One name, and where it is said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person {
    /// Family name; no other word of the lab contains it.
    pub(super) name: &'static str,
    /// The part of the practice that says it.
    pub(super) part: &'static str,
    /// What it is said in.
    pub(super) place: &'static str,
    /// Whether it crosses in clear, so that the capture must hold it.
    pub(super) clear: bool,
}

const fn person(
    name: &'static str,
    part: &'static str,
    place: &'static str,
    clear: bool,
) -> Person {
    Person { name, part, place, clear }
}

/// Registered at the reception (HL7 ADT).
pub(super) const REGISTERED: &str = "Wacholder";
/// Whose blood was looked at (HL7 ORU).
pub(super) const ANALYSED: &str = "Sanddorn";
/// On the image.
pub(super) const IMAGED: &str = "Schlehdorn";
/// In a letter's file name on the share.
pub(super) const FILED: &str = "Holunder";
/// In the file name of a document on the domain controller.
pub(super) const SCANNED: &str = "Vogelbeer";
/// In a mail that crosses encrypted.
pub(super) const MAILED: &str = "Zwetschgen";
/// In a mail box that is read in clear, and in its subject.
pub(super) const WRITTEN: &str = "Mirabellen";
/// In the database.
pub(super) const NOTED: &str = "Quittenbaum";
/// In the backup.
pub(super) const COPIED: &str = "Kornelkirsch";
/// In the name of a document that the scanner files.
pub(super) const PHOTOGRAPHED: &str = "Maulbeerfeige";
/// Logs on to the remote desktop.
pub(super) const DOCTOR: &str = "hagebutten";
/// Logs on to the old terminal servers.
pub(super) const ASSISTANT: &str = "berberitzen";
/// User of the domain.
pub(super) const CLERK: &str = "preiselbeer";
/// Types a name at the device's prompt.
pub(super) const TYPED: &str = "stachelbeer";

/// All of them.
pub(super) const PERSONS: &[Person] = &[
    person(REGISTERED, "results", "patient of an HL7 ADT message", true),
    person(ANALYSED, "results", "patient of an HL7 ORU message", true),
    person(IMAGED, "imaging", "patient of a DICOM image", true),
    person(FILED, "files", "name of a file on a share", true),
    person(SCANNED, "domain", "name of a file on the domain controller", true),
    person(MAILED, "mail", "mail sent inside STARTTLS", false),
    person(WRITTEN, "mail", "mail read in clear", true),
    person(NOTED, "database", "note in the database, encrypted on the way", false),
    person(COPIED, "backup", "name of a file in the backup", true),
    person(PHOTOGRAPHED, "scanner", "name of a document, by FTP", true),
    person(DOCTOR, "desktop", "user of a remote desktop, in its cookie", true),
    person(ASSISTANT, "terminal", "user of a terminal server, in its cookie", true),
    person(CLERK, "domain", "user in Kerberos", true),
    person(TYPED, "devices", "name typed by telnet, letter by letter", false),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_apart() {
        for (at, person) in PERSONS.iter().enumerate() {
            let name = person.name.to_lowercase();
            assert!(name.len() >= 8, "{name} may occur by chance");
            let others = PERSONS.iter().enumerate().filter(|(other, _)| *other != at);
            assert!(
                others.into_iter().all(|(_, other)| !other.name.to_lowercase().contains(&name))
            );
        }
    }
}
