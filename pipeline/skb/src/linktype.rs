//! Link types: the number in a capture file that says what the first byte of a frame is.
//!
//! Source: the tcpdump.org link-layer header types registry (`LINKTYPE_` values).

use std::fmt;

/// A `LINKTYPE_` value as stored in a capture file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LinkType(pub u16);

macro_rules! linktypes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl LinkType {
            $($(#[$doc])* #[doc = concat!("`LINKTYPE_", $text, "` (", stringify!($value), ").")]
            pub const $name: Self = Self($value);)*

            /// The registry's name without the `LINKTYPE_` prefix, if the number is registered.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($value => Some($text),)* _ => None }
            }
        }
    };
}

linktypes! {
    NULL = 0, "NULL";
    ETHERNET = 1, "ETHERNET";
    EXP_ETHERNET = 2, "EXP_ETHERNET";
    AX25 = 3, "AX25";
    PRONET = 4, "PRONET";
    CHAOS = 5, "CHAOS";
    IEEE802_5 = 6, "IEEE802_5";
    ARCNET_BSD = 7, "ARCNET_BSD";
    SLIP = 8, "SLIP";
    PPP = 9, "PPP";
    FDDI = 10, "FDDI";
    /// Raw IP as some systems write it (`DLT_RAW` on most).
    RAW_12 = 12, "RAW";
    /// Raw IP as OpenBSD writes it (`DLT_RAW` there).
    RAW_14 = 14, "RAW";
    PPP_HDLC = 50, "PPP_HDLC";
    PPP_ETHER = 51, "PPP_ETHER";
    SYMANTEC_FIREWALL = 99, "SYMANTEC_FIREWALL";
    ATM_RFC1483 = 100, "ATM_RFC1483";
    RAW = 101, "RAW";
    SLIP_BSDOS = 102, "SLIP_BSDOS";
    PPP_BSDOS = 103, "PPP_BSDOS";
    C_HDLC = 104, "C_HDLC";
    IEEE802_11 = 105, "IEEE802_11";
    ATM_CLIP = 106, "ATM_CLIP";
    FRELAY = 107, "FRELAY";
    LOOP = 108, "LOOP";
    ENC = 109, "ENC";
    LANE8023 = 110, "LANE8023";
    HIPPI = 111, "HIPPI";
    /// NetBSD's HDLC framing.
    HDLC = 112, "NETBSD_HDLC";
    LINUX_SLL = 113, "LINUX_SLL";
    LTALK = 114, "LTALK";
    ECONET = 115, "ECONET";
    IPFILTER = 116, "IPFILTER";
    PFLOG = 117, "PFLOG";
    CISCO_IOS = 118, "CISCO_IOS";
    IEEE802_11_PRISM = 119, "IEEE802_11_PRISM";
    IEEE802_11_AIRONET = 120, "IEEE802_11_AIRONET";
    HHDLC = 121, "HHDLC";
    IP_OVER_FC = 122, "IP_OVER_FC";
    SUNATM = 123, "SUNATM";
    RIO = 124, "RIO";
    PCI_EXP = 125, "PCI_EXP";
    AURORA = 126, "AURORA";
    IEEE802_11_RADIOTAP = 127, "IEEE802_11_RADIOTAP";
    TZSP = 128, "TZSP";
    ARCNET_LINUX = 129, "ARCNET_LINUX";
    JUNIPER_MLPPP = 130, "JUNIPER_MLPPP";
    JUNIPER_MLFR = 131, "JUNIPER_MLFR";
    JUNIPER_ES = 132, "JUNIPER_ES";
    JUNIPER_GGSN = 133, "JUNIPER_GGSN";
    JUNIPER_MFR = 134, "JUNIPER_MFR";
    JUNIPER_ATM2 = 135, "JUNIPER_ATM2";
    JUNIPER_SERVICES = 136, "JUNIPER_SERVICES";
    JUNIPER_ATM1 = 137, "JUNIPER_ATM1";
    APPLE_IP_OVER_IEEE1394 = 138, "APPLE_IP_OVER_IEEE1394";
    MTP2_WITH_PHDR = 139, "MTP2_WITH_PHDR";
    MTP2 = 140, "MTP2";
    MTP3 = 141, "MTP3";
    SCCP = 142, "SCCP";
    DOCSIS = 143, "DOCSIS";
    LINUX_IRDA = 144, "LINUX_IRDA";
    IBM_SP = 145, "IBM_SP";
    IBM_SN = 146, "IBM_SN";
    USER0 = 147, "USER0";
    USER1 = 148, "USER1";
    USER2 = 149, "USER2";
    USER3 = 150, "USER3";
    USER4 = 151, "USER4";
    USER5 = 152, "USER5";
    USER6 = 153, "USER6";
    USER7 = 154, "USER7";
    USER8 = 155, "USER8";
    USER9 = 156, "USER9";
    USER10 = 157, "USER10";
    USER11 = 158, "USER11";
    USER12 = 159, "USER12";
    USER13 = 160, "USER13";
    USER14 = 161, "USER14";
    USER15 = 162, "USER15";
    IEEE802_11_AVS = 163, "IEEE802_11_AVS";
    JUNIPER_MONITOR = 164, "JUNIPER_MONITOR";
    BACNET_MS_TP = 165, "BACNET_MS_TP";
    PPP_PPPD = 166, "PPP_PPPD";
    JUNIPER_PPPOE = 167, "JUNIPER_PPPOE";
    JUNIPER_PPPOE_ATM = 168, "JUNIPER_PPPOE_ATM";
    GPRS_LLC = 169, "GPRS_LLC";
    GPF_T = 170, "GPF_T";
    GPF_F = 171, "GPF_F";
    GCOM_T1E1 = 172, "GCOM_T1E1";
    GCOM_SERIAL = 173, "GCOM_SERIAL";
    JUNIPER_PIC_PEER = 174, "JUNIPER_PIC_PEER";
    ERF_ETH = 175, "ERF_ETH";
    ERF_POS = 176, "ERF_POS";
    LINUX_LAPD = 177, "LINUX_LAPD";
    JUNIPER_ETHER = 178, "JUNIPER_ETHER";
    JUNIPER_PPP = 179, "JUNIPER_PPP";
    JUNIPER_FRELAY = 180, "JUNIPER_FRELAY";
    JUNIPER_CHDLC = 181, "JUNIPER_CHDLC";
    /// Multi-link frame relay (FRF.16).
    MFR = 182, "MFR";
    JUNIPER_VP = 183, "JUNIPER_VP";
    A429 = 184, "A429";
    A653_ICM = 185, "A653_ICM";
    USB_FREEBSD = 186, "USB_FREEBSD";
    BLUETOOTH_HCI_H4 = 187, "BLUETOOTH_HCI_H4";
    IEEE802_16_MAC_CPS = 188, "IEEE802_16_MAC_CPS";
    USB_LINUX = 189, "USB_LINUX";
    CAN20B = 190, "CAN20B";
    IEEE802_15_4_LINUX = 191, "IEEE802_15_4_LINUX";
    PPI = 192, "PPI";
    IEEE802_16_MAC_CPS_RADIO = 193, "IEEE802_16_MAC_CPS_RADIO";
    JUNIPER_ISM = 194, "JUNIPER_ISM";
    IEEE802_15_4_WITHFCS = 195, "IEEE802_15_4_WITHFCS";
    SITA = 196, "SITA";
    ERF = 197, "ERF";
    RAIF1 = 198, "RAIF1";
    IPMB_KONTRON = 199, "IPMB_KONTRON";
    JUNIPER_ST = 200, "JUNIPER_ST";
    BLUETOOTH_HCI_H4_WITH_PHDR = 201, "BLUETOOTH_HCI_H4_WITH_PHDR";
    AX25_KISS = 202, "AX25_KISS";
    LAPD = 203, "LAPD";
    PPP_WITH_DIR = 204, "PPP_WITH_DIR";
    C_HDLC_WITH_DIR = 205, "C_HDLC_WITH_DIR";
    FRELAY_WITH_DIR = 206, "FRELAY_WITH_DIR";
    LAPB_WITH_DIR = 207, "LAPB_WITH_DIR";
    I2C_LINUX = 209, "I2C_LINUX";
    FLEXRAY = 210, "FLEXRAY";
    MOST = 211, "MOST";
    LIN = 212, "LIN";
    X2E_SERIAL = 213, "X2E_SERIAL";
    X2E_XORAYA = 214, "X2E_XORAYA";
    IEEE802_15_4_NONASK_PHY = 215, "IEEE802_15_4_NONASK_PHY";
    LINUX_EVDEV = 216, "LINUX_EVDEV";
    GSMTAP_UM = 217, "GSMTAP_UM";
    GSMTAP_ABIS = 218, "GSMTAP_ABIS";
    MPLS = 219, "MPLS";
    USB_LINUX_MMAPPED = 220, "USB_LINUX_MMAPPED";
    DECT = 221, "DECT";
    AOS = 222, "AOS";
    WIHART = 223, "WIHART";
    FC_2 = 224, "FC_2";
    FC_2_WITH_FRAME_DELIMS = 225, "FC_2_WITH_FRAME_DELIMS";
    IPNET = 226, "IPNET";
    CAN_SOCKETCAN = 227, "CAN_SOCKETCAN";
    IPV4 = 228, "IPV4";
    IPV6 = 229, "IPV6";
    IEEE802_15_4_NOFCS = 230, "IEEE802_15_4_NOFCS";
    DBUS = 231, "DBUS";
    JUNIPER_VS = 232, "JUNIPER_VS";
    JUNIPER_SRX_E2E = 233, "JUNIPER_SRX_E2E";
    JUNIPER_FIBRECHANNEL = 234, "JUNIPER_FIBRECHANNEL";
    DVB_CI = 235, "DVB_CI";
    MUX27010 = 236, "MUX27010";
    STANAG_5066_D_PDU = 237, "STANAG_5066_D_PDU";
    JUNIPER_ATM_CEMIC = 238, "JUNIPER_ATM_CEMIC";
    NFLOG = 239, "NFLOG";
    NETANALYZER = 240, "NETANALYZER";
    /// Ethernet with preamble and SFD in front: a whole IEEE 802.3 packet.
    NETANALYZER_TRANSPARENT = 241, "NETANALYZER_TRANSPARENT";
    IPOIB = 242, "IPOIB";
    MPEG_2_TS = 243, "MPEG_2_TS";
    NG40 = 244, "NG40";
    NFC_LLCP = 245, "NFC_LLCP";
    PFSYNC = 246, "PFSYNC";
    INFINIBAND = 247, "INFINIBAND";
    SCTP = 248, "SCTP";
    USBPCAP = 249, "USBPCAP";
    RTAC_SERIAL = 250, "RTAC_SERIAL";
    BLUETOOTH_LE_LL = 251, "BLUETOOTH_LE_LL";
    WIRESHARK_UPPER_PDU = 252, "WIRESHARK_UPPER_PDU";
    NETLINK = 253, "NETLINK";
    BLUETOOTH_LINUX_MONITOR = 254, "BLUETOOTH_LINUX_MONITOR";
    BLUETOOTH_BREDR_BB = 255, "BLUETOOTH_BREDR_BB";
    BLUETOOTH_LE_LL_WITH_PHDR = 256, "BLUETOOTH_LE_LL_WITH_PHDR";
    PROFIBUS_DL = 257, "PROFIBUS_DL";
    PKTAP = 258, "PKTAP";
    EPON = 259, "EPON";
    IPMI_HPM_2 = 260, "IPMI_HPM_2";
    ZWAVE_R1_R2 = 261, "ZWAVE_R1_R2";
    ZWAVE_R3 = 262, "ZWAVE_R3";
    WATTSTOPPER_DLM = 263, "WATTSTOPPER_DLM";
    ISO_14443 = 264, "ISO_14443";
    RDS = 265, "RDS";
    USB_DARWIN = 266, "USB_DARWIN";
    OPENFLOW = 267, "OPENFLOW";
    SDLC = 268, "SDLC";
    TI_LLN_SNIFFER = 269, "TI_LLN_SNIFFER";
    LORATAP = 270, "LORATAP";
    VSOCK = 271, "VSOCK";
    NORDIC_BLE = 272, "NORDIC_BLE";
    DOCSIS31_XRA31 = 273, "DOCSIS31_XRA31";
    /// IEEE 802.3br mPackets: preamble, SMD, frame, FCS or mCRC.
    ETHERNET_MPACKET = 274, "ETHERNET_MPACKET";
    DISPLAYPORT_AUX = 275, "DISPLAYPORT_AUX";
    LINUX_SLL2 = 276, "LINUX_SLL2";
    SERCOS_MONITOR = 277, "SERCOS_MONITOR";
    OPENVIZSLA = 278, "OPENVIZSLA";
    EBHSCR = 279, "EBHSCR";
    VPP_DISPATCH = 280, "VPP_DISPATCH";
    DSA_TAG_BRCM = 281, "DSA_TAG_BRCM";
    DSA_TAG_BRCM_PREPEND = 282, "DSA_TAG_BRCM_PREPEND";
    IEEE802_15_4_TAP = 283, "IEEE802_15_4_TAP";
    DSA_TAG_DSA = 284, "DSA_TAG_DSA";
    DSA_TAG_EDSA = 285, "DSA_TAG_EDSA";
    ELEE = 286, "ELEE";
    Z_WAVE_SERIAL = 287, "Z_WAVE_SERIAL";
    USB_2_0 = 288, "USB_2_0";
    ATSC_ALP = 289, "ATSC_ALP";
    ETW = 290, "ETW";
    NETANALYZER_NG = 291, "NETANALYZER_NG";
    ZBOSS_NCP = 292, "ZBOSS_NCP";
    USB_2_0_LOW_SPEED = 293, "USB_2_0_LOW_SPEED";
    USB_2_0_FULL_SPEED = 294, "USB_2_0_FULL_SPEED";
    USB_2_0_HIGH_SPEED = 295, "USB_2_0_HIGH_SPEED";
    AUERSWALD_LOG = 296, "AUERSWALD_LOG";
    ZWAVE_TAP = 297, "ZWAVE_TAP";
    SILABS_DEBUG_CHANNEL = 298, "SILABS_DEBUG_CHANNEL";
    FIRA_UCI = 299, "FIRA_UCI";
    MDB = 300, "MDB";
    DECT_NR = 301, "DECT_NR";
    EDK2_MM = 302, "EDK2_MM";
    DEBUG_ONLY = 303, "DEBUG_ONLY";
    DECT_NR_TAP = 304, "DECT_NR_TAP";
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "LINKTYPE_{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_numbers_have_their_names_and_others_their_number() {
        assert_eq!(LinkType(1).to_string(), "ETHERNET");
        assert_eq!(LinkType(12).to_string(), "RAW");
        assert_eq!(LinkType(276).name(), Some("LINUX_SLL2"));
        assert_eq!(LinkType(162).name(), Some("USER15"));
        assert_eq!(LinkType(208).name(), None);
        assert_eq!(LinkType(9999).to_string(), "LINKTYPE_9999");
    }
}
