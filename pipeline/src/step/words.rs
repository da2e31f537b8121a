//! Which parts of Linux and Hyper-V do what a step shows. Facts: Linux 6.x
//! `Documentation/networking/{napi,skbuff}.rst`, `net/ethernet/eth.c`, `net/core/dev.c`,
//! `net/bridge/br_input.c`, `drivers/vhost/net.c`, `drivers/net/hyperv/netvsc_drv.c`; Microsoft,
//! "Overview of the Hyper-V Extensible Switch", "NET_BUFFER_LIST structure".

use super::{Direction, PortFace, StepKind};
use skb::{PktType, Verdict};

/// The same place in Linux and in Hyper-V.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Elsewhere {
    pub(super) linux: &'static str,
    pub(super) hyperv: &'static str,
}

const fn both(linux: &'static str, hyperv: &'static str) -> Elsewhere {
    Elsewhere { linux, hyperv }
}

/// `face` is the far end's, for the steps that have one.
pub(super) fn elsewhere(kind: &StepKind, way: Direction, face: Option<PortFace>) -> Elsewhere {
    use Direction::{FromGuest, FromWire};
    match (kind, way) {
        (StepKind::Origin, FromWire) => both(
            "the adapter's MAC and PHY; no software sees preamble or SFD",
            "the same: the physical adapter behind the external switch",
        ),
        (StepKind::Origin, FromGuest) => both(
            "the guest's own kernel: an sk_buff in guest memory, queued by virtio-net",
            "netvsc in the guest: an RNDIS message over VMBus, small frames by way of a send \
             buffer section, large ones as page descriptors",
        ),
        (StepKind::Arrived, FromWire) => both(
            "DMA into a page of the queue's page_pool, rx descriptor written back; one interrupt \
             calls napi_schedule() and stays masked while frames keep coming",
            "the physical adapter's miniport driver in the parent partition (with VMQ, a queue \
             of the guest's own)",
        ),
        (StepKind::Arrived, FromGuest) => both(
            "vhost-net takes the descriptor the guest made available and copies the bytes out \
             of guest memory (tun_get_user)",
            "netvsp in the parent partition takes the message off the VMBus ring",
        ),
        (StepKind::Built, _) => both(
            "the driver's NAPI poll: napi_build_skb() around the page",
            "no sk_buff: a NET_BUFFER_LIST with NET_BUFFERs over MDLs",
        ),
        (StepKind::Classified, _) => both(
            "eth_type_trans(), then __netif_receive_skb_core(); tcpdump's tap sits between \
             this and the bridge",
            "header parsing by the switch's protocol edge; DataOffset is advanced, not the bytes",
        ),
        (StepKind::Merged, _) => both("napi_gro_receive()", "RSC in the vSwitch"),
        (StepKind::Decided(Verdict::Drop(_)) | StepKind::Dropped(..), _) => both(
            "kfree_skb_reason(): a drop has a reason, a normal end is consume_skb()",
            "the switch completes the NET_BUFFER_LIST with a filter reason",
        ),
        (StepKind::Decided(_), _) => both(
            "br_handle_frame(): learn the source, look the destination up",
            "ingress extensions and policies, then the destination array of the forwarding \
             context is filled in",
        ),
        (StepKind::Egress(_), _) => both(
            "br_forward(); a flood is skb_clone() per port, never a copy",
            "egress extensions and policies of the destination port; clones are derived \
             NET_BUFFER_LISTs over the same memory",
        ),
        (StepKind::Boundary(_), _) => match face {
            Some(PortFace::Wire) => {
                both("ndo_start_xmit(): the adapter's tx ring", "the external adapter's miniport")
            }
            _ => both(
                "tun_net_xmit() puts it on a ring; vhost-net copies the bytes into buffers that \
                 the guest posted. The sk_buff stays in the host",
                "netvsp copies the bytes into the receive buffer that the guest granted, as an \
                 RNDIS message",
            ),
        },
        (StepKind::FarEnd(_), _) => match face {
            Some(PortFace::Wire) => both("the adapter's MAC and PHY", "the same"),
            _ => both(
                "virtio-net in the guest: a NAPI of its own, an sk_buff of its own, and \
                 eth_type_trans() once more",
                "netvsc in the guest strips RNDIS, copies the frame into an sk_buff of its own \
                 (netvsc_recv_callback), and eth_type_trans() runs there",
            ),
        },
        (StepKind::Consumed | StepKind::Waiting, _) => Elsewhere::default(),
    }
}

/// What `pkt_type` says, in words.
pub(super) fn pkt_type(kind: PktType) -> &'static str {
    match kind {
        PktType::Host => "to this station (PACKET_HOST)",
        PktType::Broadcast => "to all stations (PACKET_BROADCAST)",
        PktType::Multicast => "to a group of stations (PACKET_MULTICAST)",
        PktType::OtherHost => "to one station, not this one (PACKET_OTHERHOST)",
    }
}

/// The usual names of EtherTypes (IEEE 802 registry).
pub(super) fn ethertype(value: u16) -> &'static str {
    match value {
        0x0800 => "IPv4",
        0x0806 => "ARP",
        0x86dd => "IPv6",
        0x8100 | 0x88a8 | 0x9100 => "VLAN tag",
        0x8847 | 0x8848 => "MPLS",
        0x8863 | 0x8864 => "PPPoE",
        0x888e => "802.1X",
        0x88cc => "LLDP",
        _ => "other",
    }
}
