//! The findings about remote desktops, in words for the owner of a small network.

use crate::finding::Rule;

pub(super) static STANDARD: Rule = Rule {
    id: "desktop.standard-security",
    title: "A remote desktop uses the old encryption of RDP",
    meaning: "The computer lets remote desktop in with an encryption of the year 2003. Anyone on \
              the way can read along and change what is sent, and nobody is asked for a password \
              before there is a screen.",
    action: "Switch on network level authentication on that computer, and set the security layer \
             to TLS. If it is too old for that, replace it or take remote desktop off it.",
    refute: "The settings of that computer would have to show that it insists on TLS.",
};

pub(super) static NO_NLA: Rule = Rule {
    id: "desktop.no-nla",
    title: "A remote desktop shows its screen before asking for a password",
    meaning: "The computer lets remote desktop in without network level authentication. Whoever \
              reaches it gets a log-on screen, and with it every weakness that the screen has.",
    action: "Switch on network level authentication on that computer.",
    refute: "The settings of that computer would have to show that it insists on it.",
};

pub(super) static OLD_TLS: Rule = Rule {
    id: "desktop.old-tls",
    title: "A remote desktop uses an outdated version of TLS",
    meaning: "The connection is encrypted with a version of TLS that was withdrawn in 2021 (RFC \
              8996).",
    action: "Bring the computer up to date, or allow TLS 1.2 and later only.",
    refute: "A newer client may agree on a newer version with the same computer.",
};

pub(super) static NLA_ENFORCED: Rule = Rule {
    id: "desktop.nla-enforced",
    title: "A remote desktop insists on a password before it shows its screen",
    meaning: "The computer refused a client that could not do network level authentication. That \
              is how it should be.",
    action: "Leave it so.",
    refute: "Nothing here says how good the passwords are.",
};

pub(super) static GUESSING: Rule = Rule {
    id: "desktop.guessing",
    title: "Somebody tries passwords at a remote desktop",
    meaning: "One address had its password refused many times in a short while. People do not \
              mistype that often; programs that guess do.",
    action: "Close the way by which it comes (a forwarding in the router, or an infected computer \
             inside), and look in the computer's security log for the names that were tried.",
    refute: "The computer's security log would have to show no refused log-ons at that time. A \
             program of your own with an old password stored would look the same.",
};

pub(super) static SLOW_GUESSING: Rule = Rule {
    id: "desktop.guessing-slowly",
    title: "Somebody tries passwords at a remote desktop, patiently",
    meaning: "One address had its password refused again and again over hours, slowly enough not \
              to lock anybody out.",
    action: "Close the way by which it comes, and look in the computer's security log for the \
             names that were tried.",
    refute: "The computer's security log would have to show no refused log-ons at that time. A \
             program of your own with an old password stored would look the same.",
};

pub(super) static SWARM: Rule = Rule {
    id: "desktop.guessing-swarm",
    title: "Many addresses try passwords at a remote desktop",
    meaning: "Within a day, passwords from many addresses were refused: a network of hijacked \
              computers that shares the guessing, so that no single one is noticed.",
    action: "Take the forwarding out of the router today, and let remote users come through a \
             VPN.",
    refute: "The computer's security log would have to show no refused log-ons on that day, or as \
             many people of your own to have mistyped.",
};

pub(super) static GUESSED: Rule = Rule {
    id: "desktop.guessed",
    title: "Passwords were guessed at a remote desktop, and then one was accepted",
    meaning: "An address that had tried many passwords got in. Take it that somebody else \
              controls this computer.",
    action: "Disconnect the computer from the network now, leave it switched on, and call \
             somebody who investigates break-ins. Change the passwords of everyone who may log on \
             there, from another computer.",
    refute: "A person of yours would have to have tried that often from that address, and found \
             the password.",
};

pub(super) static THROUGH_VPN: Rule = Rule {
    id: "access.desktop-through-vpn",
    title: "Remote desktop is used through a VPN",
    meaning: "Right after somebody came in by an encrypted tunnel, a remote desktop was opened \
              from another part of the network inside. That is how remote access should be.",
    action: "Keep it so.",
    refute: "The remote desktop may have been opened by somebody in the building at the same \
             minute.",
};

pub(super) static BOTH_WAYS: Rule = Rule {
    id: "access.desktop-both-ways",
    title: "Remote desktop is used through the VPN, and directly from the internet too",
    meaning: "There is a VPN, and people use it; but the direct way that it was to replace is \
              still open, for everybody.",
    action: "Take the forwarding out of the router, and tell those who still come directly to use \
             the VPN.",
    refute: "The frames named would have to come from a device of your own that uses a public \
             address.",
};

pub(super) static HIDDEN: Rule = Rule {
    id: "exposure.hidden-behind-router",
    title: "Users from outside seem to hide behind an address inside",
    meaning: "Connections to a remote-control service come from an address of the same network, \
              but have passed several routers on their way. A router that puts its own address in \
              place of the user's does that: the service may be open to the internet although no \
              address from outside is seen.",
    action: "Look at the router's list of forwarded ports, and for who uses that address.",
    refute: "A device with unusual settings for the time to live of its packets would look the \
             same.",
};
