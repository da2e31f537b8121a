//! How a frame's way ends, and the words for it. Every drop has a reason and a stage.

use crate::PortSet;
use std::fmt;

/// A stage of the path, left to right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stage {
    /// The adapter: frames arrive in slots, descriptors in the rx ring.
    Nic,
    /// Harvests descriptors under a budget and builds skbs around the slots.
    Driver,
    /// Classifies: MAC header, packet type, layer offsets, checksum state; GRO.
    Skb,
    /// Learns, looks up, decides.
    Vswitch,
    /// Takes delivery.
    Guest,
}

impl Stage {
    /// How many stages.
    pub const COUNT: usize = 5;
    /// All, left to right.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Nic, Self::Driver, Self::Skb, Self::Vswitch, Self::Guest];

    /// The name printed everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nic => "nic",
            Self::Driver => "driver",
            Self::Skb => "skb",
            Self::Vswitch => "vswitch",
            Self::Guest => "guest",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident {
        $($(#[doc = $doc:literal])* $variant:ident = $text:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $($(#[doc = $doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// How many.
            pub const COUNT: usize = Self::ALL.len();

            /// The key in JSON and on the screen.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What it means, in plain words.
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*),)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

reasons! {
    /// Why a frame went no further. A drop is not an error.
    DropReason {
        /// The record is of a link type that is not Ethernet: a switch has nothing to look up.
        NotEthernet = "not-ethernet",
        /// Fewer than the 14 bytes of an Ethernet header are present.
        Runt = "runt",
        /// The source address is a group address or all zero, which no station may send from.
        InvalidSource = "invalid-source",
        /// The frame's destination is where it came from: both ends are behind the same port.
        SamePort = "same-port",
        /// 01:80:c2:00:00:0x: for the next bridge only, never forwarded (IEEE 802.1Q 8.6.3).
        LinkLocal = "link-local",
        /// The VLAN tag is not allowed on the port the frame came in by.
        VlanIngress = "vlan-ingress",
        /// No port but the ingress port is a member of the frame's VLAN.
        NoMember = "no-member",
        /// The switch type or a port policy forbids every possible egress.
        Policy = "policy",
        /// The egress port's queue is full and the port is in drop mode.
        PortFull = "port-full",
        /// The mirror session holds its share of the slots; the path goes on without it.
        MirrorBudget = "mirror-budget",
        /// The pool has no free slot for a copy that a stage must make.
        NoBuffer = "no-buffer",
        /// The rx ring was full: the driver did not keep up.
        RingFull = "ring-full",
        /// The kernel's receive ring was full: frames in use filled it, or nobody came to read.
        KernelRingFull = "kernel-ring-full",
        /// The frame is longer than a slot of the pool.
        TooLong = "too-long",
        /// The TCP checksum does not hold: the bytes were damaged on their way.
        BadChecksum = "bad-checksum",
        /// The guest's own memory for received frames is full.
        GuestFull = "guest-full",
        /// The run ended while the frame waited in a port's queue.
        Shutdown = "shutdown",
    }
}

reasons! {
    /// Why a frame's bytes were copied. Everything else moves by reference.
    CopyReason {
        /// A guest's own memory is a trust boundary: bytes are copied, not shared.
        GuestMemory = "guest-memory",
        /// A stage must write to bytes that are shared or read-only.
        CopyOnWrite = "copy-on-write",
        /// A header must be pushed and there is no headroom.
        Headroom = "headroom",
        /// A record lay across the end of a read block and its start was carried over.
        BlockStraddle = "block-straddle",
        /// A merged super-frame needs a header of its own.
        GroHeader = "gro-header",
        /// A template was written into a slot by the generator.
        Generator = "generator",
        /// A frame was handed in when its time had come (a replay into the switch).
        Fed = "fed",
    }
}

/// What the switch decided for one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send to these ports; more than one is a flood or a group, by reference.
    Forward(PortSet),
    /// The stage took the frame for itself (a control frame it answers or absorbs).
    Consume,
    /// Drop, with the reason.
    Drop(DropReason),
}
