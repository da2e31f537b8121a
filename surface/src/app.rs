//! The closed list of applications: what `app` in `framewalk.flow/1` can say.

macro_rules! apps {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// An application protocol, or a product where its own bytes or names tell it.
        ///
        /// Names are Wireshark's protocol names where it has one, the product's name otherwise;
        /// `docs/schema/apps.md` lists them all.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum App {
            $($(#[$doc])* #[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl App {
            /// Every application, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in JSON and on screen.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

apps! {
    // not told
    Unknown = "unknown",
    // remote desktops and shells
    Rdp = "rdp",
    RdpUdp = "rdp-udp",
    Vnc = "vnc",
    Ssh = "ssh",
    Telnet = "telnet",
    X11 = "x11",
    Citrix = "citrix",
    PcAnywhere = "pcanywhere",
    DameWare = "dameware",
    NetSupport = "netsupport",
    Radmin = "radmin",
    NoMachine = "nomachine",
    // remote support
    TeamViewer = "teamviewer",
    AnyDesk = "anydesk",
    ScreenConnect = "screenconnect",
    Splashtop = "splashtop",
    LogMeIn = "logmein",
    GoTo = "goto",
    RustDesk = "rustdesk",
    HopToDesk = "hoptodesk",
    ChromeRemoteDesktop = "chrome-remote-desktop",
    QuickAssist = "quick-assist",
    ZohoAssist = "zoho-assist",
    BeyondTrust = "beyondtrust",
    RemotePc = "remotepc",
    IslOnline = "isl-online",
    DwService = "dwservice",
    Supremo = "supremo",
    UltraViewer = "ultraviewer",
    AeroAdmin = "aeroadmin",
    Ammyy = "ammyy",
    Getscreen = "getscreen",
    Iperius = "iperius",
    SimpleHelp = "simplehelp",
    RemoteUtilities = "remote-utilities",
    Parsec = "parsec",
    MeshCentral = "meshcentral",
    Atera = "atera",
    NinjaOne = "ninjaone",
    NAble = "n-able",
    Kaseya = "kaseya",
    Datto = "datto-rmm",
    Automate = "connectwise-automate",
    Syncro = "syncro",
    Level = "level",
    Action1 = "action1",
    FleetDeck = "fleetdeck",
    Pulseway = "pulseway",
    Msp360 = "msp360",
    Ngrok = "ngrok",
    Cloudflared = "cloudflared",
    // VPNs
    WireGuard = "wireguard",
    Tailscale = "tailscale",
    ZeroTier = "zerotier",
    OpenVpn = "openvpn",
    Ike = "isakmp",
    Esp = "esp",
    Ah = "ah",
    L2tp = "l2tp",
    Pptp = "pptp",
    Sstp = "sstp",
    SoftEther = "softether",
    Tinc = "tinc",
    Gre = "gre",
    // Windows
    Smb = "smb",
    NetbiosNs = "nbns",
    NetbiosDgm = "nbdgm",
    NetbiosSsn = "nbss",
    Kerberos = "kerberos",
    Kpasswd = "kpasswd",
    Ldap = "ldap",
    Cldap = "cldap",
    DceRpc = "dcerpc",
    Llmnr = "llmnr",
    WsDiscovery = "ws-discovery",
    // the network itself
    Dns = "dns",
    Mdns = "mdns",
    Dhcp = "dhcp",
    Dhcpv6 = "dhcpv6",
    Ntp = "ntp",
    Snmp = "snmp",
    Syslog = "syslog",
    Ssdp = "ssdp",
    NatPmp = "nat-pmp",
    Pcp = "pcp",
    Tftp = "tftp",
    Radius = "radius",
    Tacacs = "tacacs",
    Bgp = "bgp",
    Rip = "rip",
    Hsrp = "hsrp",
    Vrrp = "vrrp",
    Ospf = "ospf",
    Eigrp = "eigrp",
    Pim = "pim",
    Icmp = "icmp",
    Icmpv6 = "icmpv6",
    Igmp = "igmp",
    Sctp = "sctp",
    Mndp = "mndp",
    SmartInstall = "smart-install",
    Ipmi = "ipmi",
    Capwap = "capwap",
    Netflow = "netflow",
    Whois = "whois",
    Gtp = "gtp",
    Teredo = "teredo",
    Vxlan = "vxlan",
    Geneve = "geneve",
    Bfd = "bfd",
    Ldp = "ldp",
    Tzsp = "tzsp",
    // web and mail
    Http = "http",
    Tls = "tls",
    Dtls = "dtls",
    Quic = "quic",
    Websocket = "websocket",
    HttpConnect = "http-connect",
    Socks = "socks",
    Smtp = "smtp",
    Imap = "imap",
    Pop = "pop",
    Ftp = "ftp",
    FtpData = "ftp-data",
    Nntp = "nntp",
    Irc = "irc",
    Xmpp = "xmpp",
    Mqtt = "mqtt",
    Amqp = "amqp",
    Git = "git",
    BitTorrent = "bittorrent",
    Ajp = "ajp",
    Ipp = "ipp",
    Printer = "jetdirect",
    Lpd = "lpd",
    // voice
    Sip = "sip",
    Rtp = "rtp",
    Rtcp = "rtcp",
    Rtsp = "rtsp",
    Rtmp = "rtmp",
    Stun = "stun",
    H323 = "h323",
    Mgcp = "mgcp",
    Skinny = "skinny",
    // databases
    Firebird = "firebird",
    Tds = "tds",
    Ssrp = "ssrp",
    MySql = "mysql",
    PostgreSql = "postgresql",
    FourD = "4d",
    Oracle = "oracle",
    MongoDb = "mongodb",
    Redis = "redis",
    Cassandra = "cassandra",
    Memcached = "memcached",
    // medicine
    Dicom = "dicom",
    Hl7 = "hl7",
    // backup and shares
    Restic = "restic",
    Rsync = "rsync",
    Borg = "borg",
    Veeam = "veeam",
    Iscsi = "iscsi",
    Nbd = "nbd",
    SunRpc = "rpc",
    Nfs = "nfs",
    Afp = "afp",
    FramewalkBackup = "framewalk-backup",
    // plant
    S7comm = "s7comm",
    Mms = "mms",
    Modbus = "modbus",
    Dnp3 = "dnp3",
    Tpkt = "tpkt",
    Usbip = "usbip",
    Diameter = "diameter",
    Zabbix = "zabbix",
}

impl core::fmt::Display for App {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lists_them_all() {
        let document = include_str!("../../docs/schema/apps.md");
        let listed =
            document.lines().filter_map(|line| line.strip_prefix("- `")?.strip_suffix('`'));
        let names = App::ALL.iter().map(|app| app.name());
        assert_eq!(listed.collect::<Vec<_>>(), names.collect::<Vec<_>>(), "docs/schema/apps.md");
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = App::ALL.iter().map(|app| app.name()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
