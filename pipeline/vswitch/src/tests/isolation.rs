//! Who can be wired to the host: nobody by mistake.

use super::plan::{Plan, plan};
use crate::fdb::HashKey;
use crate::{
    ConfigError, FarEnd, HostAccess, PortConfig, PortRole, SwitchConfig, SwitchType, Vswitch,
};
use proptest::prelude::*;
use skb::PortId;

const KEY: [u64; 2] = [1, 2];

fn build(config: SwitchConfig) -> Result<Vswitch, ConfigError> {
    Vswitch::new(config, HashKey::new(KEY))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    /// Most of these configurations are nonsense; those that build keep the rules of their type.
    #[test]
    fn what_builds_has_only_the_host_edges_its_type_allows(
        plan in plan(),
        unique in any::<bool>(),
    ) {
        let mut plan = plan;
        if unique {
            let mended = plan.clone().mend();
            plan.mirrors = mended.mirrors;
            for (port, mended) in plan.ports.iter_mut().zip(mended.ports) {
                port.id = mended.id;
            }
        }
        let Ok(switch) = build(plan.build()) else { return Ok(()) };
        let graph = switch.graph();
        let host_role = plan.ports.iter().any(|port| port.role == 1);
        let host_device = plan.ports.iter().any(|port| port.host_device);
        match plan.ty {
            SwitchType::Private => {
                prop_assert!(!host_role && !host_device);
                prop_assert_eq!((graph.host_edges(), graph.host_ports().count()), (0, 0));
            }
            SwitchType::External if !plan.management_os => prop_assert!(!host_role),
            _ => {}
        }
        if !host_role && !host_device {
            prop_assert_eq!(graph.host_edges(), 0);
        }
        prop_assert!(graph.host_ports().all(|node| node.granted_by.is_some()));
    }

    #[test]
    fn mended_plans_build(plan in plan().prop_map(Plan::mend)) {
        prop_assert!(build(plan.build()).is_ok());
    }
}

fn config(ty: SwitchType, ports: Vec<PortConfig>) -> SwitchConfig {
    SwitchConfig { ty, ports, ..SwitchConfig::default() }
}

fn message(config: SwitchConfig) -> String {
    build(config).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn refusals_say_which_port_and_what_was_expected() {
    let grant = || HostAccess::grant("a test");
    let host = || PortConfig::host(1, "mgmt", grant());
    let tap =
        || PortConfig { far_end: FarEnd::HostDevice(grant()), ..PortConfig::guest(2, "tap0") };
    let private = config(SwitchType::Private, vec![PortConfig::guest(0, "a"), host()]);
    assert_eq!(message(private), "port1 (mgmt) is a host port: a private switch has guests only");
    let private = config(SwitchType::Private, vec![PortConfig::guest(0, "a"), tap()]);
    assert!(message(private).starts_with("port2 (tap0) ends in a device in the host's network"));
    let external = config(SwitchType::External, vec![PortConfig::wire(0, "eth0"), host()]);
    assert!(message(external).contains("only with management_os = true"));
    let external = config(SwitchType::External, vec![PortConfig::guest(0, "a")]);
    assert_eq!(message(external), "an external switch needs at least one wire port");
    let internal = config(SwitchType::Internal, vec![PortConfig::wire(0, "eth0")]);
    assert!(message(internal).contains("no wire"));
    let twice = vec![PortConfig::guest(0, "a"), PortConfig::guest(0, "b")];
    let message = message(config(SwitchType::Private, twice));
    assert_eq!(message, "port0 is configured twice, as a and as b");
}

#[test]
fn a_granted_host_shows_in_the_graph_with_its_reason() {
    let access = HostAccess::grant("management_os = true in lab.toml");
    let ports = vec![
        PortConfig::wire(0, "eth0"),
        PortConfig::guest(1, "vm"),
        PortConfig::host(2, "mgmt", access),
    ];
    let external = SwitchConfig { management_os: true, ..config(SwitchType::External, ports) };
    let graph = build(external).unwrap().graph();
    assert_eq!(graph.host_edges(), 2);
    let node = graph.host_ports().next().unwrap();
    assert_eq!(node.granted_by.as_deref(), Some("management_os = true in lab.toml"));
    assert!(graph.has_edge(PortId(0), PortId(2)) && !graph.has_edge(PortId(2), PortId(2)));
}

#[test]
fn vlans_and_protection_cut_edges_and_mirrors_add_them() {
    let vlan = |pvid| crate::vlan::VlanMode::Access { pvid };
    let ports = vec![
        PortConfig { vlan: vlan(10), ..PortConfig::guest(0, "a") },
        PortConfig { vlan: vlan(20), ..PortConfig::guest(1, "b") },
        PortConfig { protected: true, ..PortConfig::guest(2, "c") },
        PortConfig { protected: true, ..PortConfig::guest(3, "d") },
    ];
    let mirror = crate::MirrorSession {
        sources: vec![PortId(0)],
        direction: crate::MirrorDirection::Ingress,
        destination: PortId(3),
        snaplen: None,
    };
    let switch = SwitchConfig { mirrors: vec![mirror], ..config(SwitchType::Private, ports) };
    let graph = build(switch).unwrap().graph();
    let edges: Vec<(u8, u8)> = graph.edges.iter().map(|edge| (edge.from, edge.to)).collect();
    assert_eq!(edges, [(0, 3)]);
    assert_eq!(PortRole::Guest.name(), graph.nodes[0].role);
}
