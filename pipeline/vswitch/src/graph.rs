//! Who can reach whom by configuration: the graph proof of the isolation receipt.

use crate::Vswitch;
use crate::config::{SwitchType, UnknownUnicast};
use serde::Serialize;
use skb::{PortId, PortSet};

/// A port of the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its number.
    pub port: u8,
    /// Its name.
    pub name: String,
    /// `wire`, `guest` or `host`.
    pub role: &'static str,
    /// Whether what is sent here can reach the host's stack.
    pub host_edge: bool,
    /// Which configuration granted that.
    pub granted_by: Option<String>,
    /// How it was established that the device behind it is out of the host's reach.
    pub evidence: Option<String>,
}

/// Why frames of one port can come out at another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeKind {
    /// Both are members of a VLAN and policy allows it.
    Vlan,
    /// A mirror session copies them.
    Mirror,
}

/// Frames that came in at `from` can be sent out at `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// Ingress port.
    pub from: u8,
    /// Egress port.
    pub to: u8,
    /// Why.
    pub kind: EdgeKind,
    /// First and last id of each range of VLANs they share; empty for mirrors.
    pub vlans: Vec<(u16, u16)>,
}

/// All ports and all possible edges of a switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Graph {
    /// The switch type.
    pub switch_type: SwitchType,
    /// Whether the host may have ports on an external switch.
    pub management_os: bool,
    /// Where unknown unicast goes.
    pub unknown_unicast: UnknownUnicast,
    /// Ports, in the order of the configuration.
    pub nodes: Vec<Node>,
    /// Edges, by ingress and then egress port.
    pub edges: Vec<Edge>,
}

impl Graph {
    /// Ports through which frames can reach the host's stack.
    pub fn host_ports(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.host_edge)
    }

    /// How many edges end at such a port. The proof asks for 0.
    pub fn host_edges(&self) -> usize {
        let ends_at_host = |edge: &&Edge| self.host_ports().any(|node| node.port == edge.to);
        self.edges.iter().filter(ends_at_host).count()
    }

    /// Whether some edge leads from one port to another.
    pub fn has_edge(&self, from: PortId, to: PortId) -> bool {
        self.edges.iter().any(|edge| edge.from == from.0 && edge.to == to.0)
    }
}

impl Vswitch {
    /// The graph of this switch, worked out from the same tables that forward frames.
    pub fn graph(&self) -> Graph {
        let config = self.config();
        let node = |port: &crate::PortConfig| Node {
            port: port.id.0,
            name: port.name.clone(),
            role: port.role.name(),
            host_edge: port.host_edge().is_some(),
            granted_by: port.host_edge().map(|access| access.granted_by().to_owned()),
            evidence: match &port.far_end {
                crate::FarEnd::Separated { evidence } => Some(evidence.clone()),
                _ => None,
            },
        };
        let mut ports: Vec<PortId> = config.ports.iter().map(|port| port.id).collect();
        ports.sort_unstable();
        let mut edges: Vec<Edge> = Vec::new();
        for &from in &ports {
            let mirrored = self.mirror_ends(from);
            for &to in &ports {
                let (from, vlans) = (from.0, self.shared_vlans(from, to));
                if !vlans.is_empty() {
                    edges.push(Edge { from, to: to.0, kind: EdgeKind::Vlan, vlans });
                }
                if mirrored.contains(to) {
                    edges.push(Edge { from, to: to.0, kind: EdgeKind::Mirror, vlans: Vec::new() });
                }
            }
        }
        Graph {
            switch_type: config.ty,
            management_os: config.management_os,
            unknown_unicast: config.unknown_unicast,
            nodes: config.ports.iter().map(node).collect(),
            edges,
        }
    }

    fn shared_vlans(&self, from: PortId, to: PortId) -> Vec<(u16, u16)> {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        if !self.tables.lanes[from.index()].reach.contains(to) {
            return ranges;
        }
        let both = |members: &PortSet| members.contains(from) && members.contains(to);
        for (vid, _) in (0..).zip(&*self.tables.members).filter(|(_, members)| both(members)) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == vid => *last = vid,
                _ => ranges.push((vid, vid)),
            }
        }
        ranges
    }

    /// Mirror destinations that frames from `from` can come out at.
    fn mirror_ends(&self, from: PortId) -> PortSet {
        let reaches =
            |set: PortSet| set.into_iter().any(|to| !self.shared_vlans(from, to).is_empty());
        let sessions = self.tables.mirrors.iter();
        let hit = sessions.filter(|m| m.ingress.contains(from) || reaches(m.egress));
        let ends: PortSet = hit.map(|session| session.destination).collect();
        ends.without(from)
    }
}
