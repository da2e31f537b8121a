//! Findings of the local network, in words for the owner of a small one.

use crate::finding::Rule;

pub(super) static ARP_ROUTER: Rule = Rule {
    id: "lan.arp-router",
    title: "Another device stands in for the router",
    meaning: "A second network card says that the router's address is its own. All that goes to \
              the internet and back may pass through it, where it can be read and changed.",
    action: "Find the device by the frames named (its card's address is in them) and unplug it. \
             Then change passwords that were used in that time.",
    refute: "A pair of routers that share an address without a protocol for it, or a repeater \
             that passes on others' addresses under its own.",
};

pub(super) static ARP_TWICE: Rule = Rule {
    id: "lan.arp-twice",
    title: "Two network cards claim the same address",
    meaning: "Either two devices were given the same address, so that now one and now the other \
              is reached; or one of them listens in on the other.",
    action: "Find both devices by the frames named. Give one of them another address, or unplug \
             it if nobody knows it.",
    refute: "A computer with two cards in the same network, a repeater, or a router that answers \
             for others looks the same.",
};

pub(super) static DHCP_ROGUE: Rule = Rule {
    id: "lan.dhcp-rogue",
    title: "A second device gives out addresses, and leads elsewhere",
    meaning: "Computers take their settings from whoever answers first. The second one names \
              another router or name server: what its clients do passes through that.",
    action: "Find the device. Most often it is a small router or access point that somebody \
             plugged in: switch DHCP off in it, or unplug it.",
    refute: "Two servers on purpose, of which one was changed and the other was not.",
};

pub(super) static DHCP_PAIR: Rule = Rule {
    id: "lan.dhcp-pair",
    title: "Two devices give out addresses",
    meaning: "Both say the same of router and name server. That is right if they are a pair.",
    action: "Ask whoever keeps your network whether both are meant to.",
    refute: "A device may answer under two addresses.",
};

pub(super) static PROXY_NAMED: Rule = Rule {
    id: "lan.proxy-named",
    title: "Computers are told by the network where to get proxy settings",
    meaning: "Whoever can answer in its place can lead web traffic through a computer of their \
              own.",
    action: "Switch automatic proxy detection off unless you have a proxy.",
    refute: "The place named may be your own.",
};

pub(super) static NAMES_ASKED: Rule = Rule {
    id: "lan.names-asked",
    title: "Computers ask everybody for names",
    meaning: "Where the name server does not know a name, Windows asks all neighbours (LLMNR, \
              NetBIOS), and believes whoever answers. An attacker's first step in a network is to \
              answer.",
    action: "Switch LLMNR off by group policy, and NetBIOS over TCP/IP in the settings that DHCP \
             gives.",
    refute: "A name that was asked for may be of a device that knows nothing else.",
};

pub(super) static NAMES_POISONED: Rule = Rule {
    id: "lan.names-poisoned",
    title: "A device answers for the names of others",
    meaning: "A device says that names of others are its own. Computers that believe it log on \
              there, and it collects what they log on with.",
    action: "Unplug the device and keep it. Change the passwords of those who worked in that \
             time.",
    refute: "A device that has all of these names, or a test that you ordered.",
};

pub(super) static SNMP_DEFAULT: Rule = Rule {
    id: "lan.snmp-default",
    title: "A device tells its settings to anyone",
    meaning: "A device is managed by SNMP with the password that it came with, and answers to it. \
              Anyone in the network can read its settings, and perhaps change them.",
    action: "Switch SNMP off in the device, or give it version 3 with a password of your own.",
    refute: "The device may answer to the computers named only.",
};

pub(super) static SNMP_DEFAULT_ASKED: Rule = Rule {
    id: "lan.snmp-default-asked",
    title: "A device is asked with a password that everybody knows",
    meaning: "A computer asks by SNMP with the password that devices come with: most often a \
              printer's program that looks for printers. No answer was seen.",
    action: "Find the program, and look whether the device would answer.",
    refute: "The device may not exist, or may not answer.",
};

pub(super) static SETTINGS_IN_CLEAR: Rule = Rule {
    id: "lan.settings-in-clear",
    title: "A device's settings crossed the network in clear",
    meaning: "A file with the name of a switch's or router's settings was moved by a protocol \
              without encryption or password. Such files hold passwords.",
    action: "Move such files by SCP or HTTPS, and change the passwords in them.",
    refute: "The file was judged by its name only.",
};

pub(super) static TELNET: Rule = Rule {
    id: "lan.telnet",
    title: "A device is managed in clear (telnet)",
    meaning: "All that is typed there, passwords included, can be read on the way.",
    action: "Use SSH, and switch telnet off in the device.",
    refute: "A line that asks for no password, such as a notice board, is harmless.",
};

pub(super) static CLEAR_LOGON: Rule = Rule {
    id: "lan.clear-logon",
    title: "Somebody logs on without encryption",
    meaning: "A name and a password crossed the network as plain text. Anyone on the way can read \
              and use them.",
    action: "Switch encryption on in the program and in the server (FTPS or SFTP, IMAPS, POP3S, \
             STARTTLS, HTTPS, LDAPS), and change the password.",
    refute: "Whether the password was right is not looked at.",
};

pub(super) static SMB1: Rule = Rule {
    id: "lan.smb1",
    title: "A file server speaks the old SMB version 1",
    meaning: "Version 1 of the protocol for shared folders has holes by which worms (WannaCry) \
              went from computer to computer, and no protection against changes on the way.",
    action: "Switch SMB 1 off in the server. Scanners that need it have newer software, or need \
             replacing.",
    refute: "None: the server chose it itself.",
};

pub(super) static NTLM1: Rule = Rule {
    id: "lan.ntlm1",
    title: "Somebody logs on by an outdated method (NTLM version 1)",
    meaning: "From what crosses the network the password's key can be computed within a day.",
    action: "Set the network's policy to NTLM version 2 only, and find out which device was using \
             version 1.",
    refute: "None: the length of the answer shows the version.",
};

pub(super) static SMB_UNSIGNED: Rule = Rule {
    id: "lan.smb-unsigned",
    title: "File servers do not ask for signatures",
    meaning: "Somebody who stands in between can pass a logon on to such a server as their own.",
    action: "Have signing required on servers. Newer systems do so by default.",
    refute: "Clients may sign all the same.",
};

pub(super) static STORE_LOGON: Rule = Rule {
    id: "lan.store-logon",
    title: "The logon to a database can be read on the way",
    meaning: "The name and password for a database crossed the network in clear or as good as \
              that. Whoever reads them has all that is in it.",
    action: "Have the maker of the program switch encryption on in the database server and its \
             clients.",
    refute: "Whether the password was right is not looked at.",
};

pub(super) static STORE_CLEAR: Rule = Rule {
    id: "lan.store-clear",
    title: "Data of a database or imaging system crosses in clear",
    meaning: "What the programs ask for and get, patients' data included, can be read by anyone \
              on the way.",
    action: "Ask the maker of the program for encryption; until then keep the server and its \
             clients in a network of their own.",
    refute: "Within one room, on cables of your own, few can read it.",
};

pub(super) static DICOM_ANYONE: Rule = Rule {
    id: "lan.dicom-anyone",
    title: "An imaging server lets anyone in",
    meaning: "One computer was let in under several names. A server that checks the name would \
              know one only.",
    action: "Have the server's list of callers checked by whoever keeps it.",
    refute: "A workstation may have several programs, each with a name of its own.",
};

pub(super) static RA_ROGUE: Rule = Rule {
    id: "lan.ra-rogue",
    title: "A second device leads computers out by IPv6",
    meaning: "Computers believe whoever says that it is a router for IPv6, also where nobody uses \
              IPv6. The second one names networks or name servers of its own: what computers send \
              may pass through it.",
    action: "Find the device by the frames named. If nobody knows it, unplug it. Have the switch \
             refuse such messages from its other ports (RA guard).",
    refute: "A second line to the internet with a router of its own.",
};

pub(super) static NEWCOMER: Rule = Rule {
    id: "lan.newcomer",
    title: "A device joined the network that had not been heard before",
    meaning: "Most often a computer that was switched on. It can also be one that somebody plugged \
              into a free socket.",
    action: "Compare the time and the maker with who came in. Switch off sockets that nobody uses.",
    refute: "Anything that was off, asleep or away when the recording began looks the same.",
};

pub(super) static NEWCOMER_RANDOM: Rule = Rule {
    id: "lan.newcomer-random",
    title: "Devices joined that make up their addresses",
    meaning: "Telephones and tablets do so in order not to be followed, and virtual machines. They \
              cannot be told from ones that were there before.",
    action: "Keep staff's and visitors' telephones in a network of their own.",
    refute: "The same device with a new address counts again.",
};

pub(super) static STP_ROOT: Rule = Rule {
    id: "lan.stp-root",
    title: "Another switch took over as the root of the network",
    meaning: "Switches agree on one of them, through which most traffic goes. Another one called \
              itself better. Any device at a socket can do that, and read what then passes \
              through it.",
    action: "Ask whether a switch was added or restarted at that time. Have the switches refuse \
             such messages from sockets (BPDU guard, root guard).",
    refute: "A switch that was put in, restarted or set up anew does the same.",
};

pub(super) static STP_HEARD: Rule = Rule {
    id: "lan.stp-heard",
    title: "Switches talk to each other where computers can hear it",
    meaning: "The place where this was recorded hears how switches agree on their tree. Where they \
              can be heard, a device can take part, unless the switch refuses it.",
    action: "Look whether BPDU guard is on at the sockets of computers.",
    refute: "A mirror of the line between two switches hears this rightly.",
};

pub(super) static TRUNK: Rule = Rule {
    id: "lan.trunk-offered",
    title: "A switch offers to open all its networks",
    meaning: "A port of the switch would become a trunk if the device at it asked (DTP). Such a \
              device is then in all networks of the switch, also those that are kept apart.",
    action: "Set ports of computers to access, and switch negotiation off (nonegotiate).",
    refute: "A mirror of the line between two switches hears this rightly.",
};

pub(super) static UPNP_OFFERED: Rule = Rule {
    id: "lan.upnp-offered",
    title: "The router lets any program open its ports",
    meaning: "The router says to everybody that it takes orders to lead ports of its internet \
              address inside (UPnP). A program that somebody was made to start can use that.",
    action: "Switch UPnP off in the router.",
    refute: "The router may refuse each such order.",
};

pub(super) static SMART_INSTALL: Rule = Rule {
    id: "lan.smart-install",
    title: "A switch can be given new settings by anyone",
    meaning: "The switch answers to Smart Install, which asks for no password: whoever reaches it \
              can read its settings, change them and load other software.",
    action: "Switch it off (no vstack), and look at the switch's settings for what is not yours.",
    refute: "None: the switch answered.",
};

pub(super) static GUESTS_ALONE: Rule = Rule {
    id: "lan.guests-alone",
    title: "Virtual machines only: their host was not heard",
    meaning: "All who sent packets here are virtual machines of one product. If the machine they \
              run on has no adapter on this virtual switch, it cannot be reached by this way.",
    action: "Keep it so: give the host an adapter in a network of its own only.",
    refute: "A host that was silent during the recording looks the same.",
};
