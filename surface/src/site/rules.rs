//! The findings that there can be, in words for the owner of a small network.

use crate::finding::Rule;

pub(super) static RDP_FROM_INTERNET: Rule = Rule {
    id: "exposure.rdp",
    title: "Remote desktop is open to the internet",
    meaning: "Anyone on the internet can knock at this computer's remote desktop, at any hour. \
              Programs try passwords there day and night; this is how most ransomware comes in. \
              Another port number does not hide it.",
    action: "Take the forwarding out of the router today, and let remote users come through a \
             VPN. Then change the passwords of everyone who may log on there, and look at who \
             has.",
    refute: "The frames named came from a device of your own that uses a public address.",
};

pub(super) static DESKTOP_FROM_INTERNET: Rule = Rule {
    id: "exposure.remote-access",
    title: "A remote-control service is open to the internet",
    meaning: "Anyone on the internet can reach a service that controls this computer.",
    action: "Take the forwarding out of the router, and let remote users come through a VPN.",
    refute: "The frames named came from a device of your own that uses a public address.",
};

pub(super) static DATA_FROM_INTERNET: Rule = Rule {
    id: "exposure.data",
    title: "A store of data is open to the internet",
    meaning: "Anyone on the internet can reach a database, file share or medical system of yours \
              directly.",
    action: "Take the forwarding out of the router today. What must be reached from outside \
             belongs behind a VPN.",
    refute: "The frames named came from a device of your own that uses a public address.",
};

pub(super) static SHELL_FROM_INTERNET: Rule = Rule {
    id: "exposure.ssh",
    title: "A command line (SSH) is open to the internet",
    meaning: "Anyone on the internet can try passwords at this computer's command line.",
    action: "Allow keys only, no passwords; better, reach it through a VPN.",
    refute: "The frames named came from a device of your own that uses a public address.",
};

pub(super) static WEB_FROM_INTERNET: Rule = Rule {
    id: "exposure.web",
    title: "A web service is open to the internet",
    meaning: "Anyone on the internet can reach this web service. That is right for a web site and \
              wrong for the settings page of a device.",
    action: "Make sure that you know what it is and who keeps it up to date.",
    refute: "The frames named came from a device of your own that uses a public address.",
};

pub(super) static MAIL_FROM_INTERNET: Rule = Rule {
    id: "exposure.mail",
    title: "A mail service is open to the internet",
    meaning: "Anyone on the internet can reach this mail server. To receive mail, that is needed.",
    action: "Make sure that it is yours and kept up to date.",
    refute: "The frames named came from a device of your own that uses a public address.",
};

pub(super) static OTHER_FROM_INTERNET: Rule = Rule {
    id: "exposure.other",
    title: "A service inside is open to the internet",
    meaning: "A connection from the internet was accepted inside. What the service is, its bytes \
              do not say.",
    action: "Find out what listens there, and take the forwarding out of the router if nobody \
             needs it.",
    refute: "The frames named came from a device of your own that uses a public address.",
};

pub(super) static VPN_FROM_INTERNET: Rule = Rule {
    id: "access.vpn",
    title: "Remote access arrives through a VPN",
    meaning: "Somebody comes in from outside by an encrypted tunnel. That is how remote access \
              should be.",
    action: "Keep its software up to date, and remove the keys of those who have left.",
    refute: "The tunnel was opened by somebody who should not have a key.",
};

pub(super) static WEAK_VPN_FROM_INTERNET: Rule = Rule {
    id: "access.weak-vpn",
    title: "Remote access arrives through a weak VPN",
    meaning: "The tunnel used is one whose protection can be broken (PPTP), or that has none of \
              its own (L2TP without IPsec).",
    action: "Replace it by WireGuard, OpenVPN or IKEv2.",
    refute: "For L2TP: it runs inside IPsec where this mirror does not see it.",
};

pub(super) static BACKUP_TOO_SMALL: Rule = Rule {
    id: "backup.too-small",
    title: "The backup is far too small for what was written",
    meaning: "Much was sent to a database, and what was copied from its computer is a hundred \
              times smaller. A database file keeps its size and date while it is in use, so that \
              a backup that goes by these leaves it out without a word.",
    action: "Restore last night's backup to another computer today, open the database in it, and \
             look for yesterday's last entry.",
    refute: "The copy goes another way: over a cable that is not mirrored, onto a disk, by a \
             snapshot.",
};

pub(super) static BACKUP_NOT_SEEN: Rule = Rule {
    id: "backup.not-seen",
    title: "No backup of a busy database was seen",
    meaning: "A database was written to, and in all that time nothing like a copy left its \
              computer.",
    action: "Find out where its backup goes and when it last ran, and restore it once to see.",
    refute: "The copy goes another way: over a cable that is not mirrored, onto a disk, by a \
             snapshot.",
};

pub(super) static RDP_MAPPED: Rule = Rule {
    id: "exposure.rdp-mapping",
    title: "A program opened the router for remote desktop",
    meaning: "A program inside told the router to lead a port of its internet address to remote \
              desktop, and the router did so without asking anyone.",
    action: "Switch UPnP, NAT-PMP and PCP off in the router, take the port out, and let remote \
             users come through a VPN.",
    refute: "The router dropped the port again when the time named was over.",
};

pub(super) static PORT_MAPPED: Rule = Rule {
    id: "exposure.mapping",
    title: "A program opened a port of the router",
    meaning: "A program inside told the router to lead a port of its internet address inside, and \
              the router did so without asking anyone.",
    action: "Find out which program that is. Switch UPnP, NAT-PMP and PCP off in the router if \
             nobody needs them.",
    refute: "The router dropped the port again when the time named was over.",
};
