//! What hosts are to the people who work there: the list a recovery plan begins with.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::backup::{Copied, Copies, is_database};
use super::service::Service;
use crate::App;

/// What a host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Users, computers, names (Kerberos with LDAP).
    DomainController,
    /// A database: the medical software's, or the accounts'.
    Database,
    /// Images (DICOM).
    Imaging,
    /// Results and orders (HL7).
    Results,
    /// Shared files.
    Files,
    /// Mail.
    Mail,
    /// Printing and scanning.
    Printing,
    /// Names for the whole network (DNS, DHCP).
    Names,
    /// Desktops from afar.
    RemoteAccess,
    /// Where backups go.
    Backup,
    /// Web pages and what runs in them.
    Web,
}

impl Role {
    /// In lower case, for JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DomainController => "domain-controller",
            Self::Database => "database",
            Self::Imaging => "imaging",
            Self::Results => "results",
            Self::Files => "files",
            Self::Mail => "mail",
            Self::Printing => "printing",
            Self::Names => "names",
            Self::RemoteAccess => "remote-access",
            Self::Backup => "backup",
            Self::Web => "web",
        }
    }

    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::DomainController => "domain controller (users and computers)",
            Self::Database => "database",
            Self::Imaging => "imaging (DICOM)",
            Self::Results => "results and orders (HL7)",
            Self::Files => "shared files",
            Self::Mail => "mail",
            Self::Printing => "printing and scanning",
            Self::Names => "names and addresses (DNS, DHCP)",
            Self::RemoteAccess => "remote access",
            Self::Backup => "backup store",
            Self::Web => "web pages",
        }
    }

    const fn of(app: App) -> Option<Self> {
        Some(match app {
            App::Dicom => Self::Imaging,
            App::Hl7 => Self::Results,
            App::Smb | App::Nfs | App::Afp | App::SunRpc | App::Ftp => Self::Files,
            App::Smtp | App::Imap | App::Pop => Self::Mail,
            App::Ipp | App::Printer | App::Lpd => Self::Printing,
            App::Dns | App::Dhcp => Self::Names,
            App::Rdp | App::RdpUdp | App::Vnc | App::Ssh | App::Telnet => Self::RemoteAccess,
            App::Rsync | App::Restic | App::Borg | App::Veeam | App::Nbd | App::Iscsi => {
                Self::Backup
            }
            App::Http | App::Tls | App::Quic => Self::Web,
            app if is_database(app) => Self::Database,
            _ => return None,
        })
    }
}

/// A host and what depends on it.
#[derive(Debug, Clone)]
pub struct KeyService {
    /// What it is for.
    pub role: Role,
    /// The host.
    pub host: IpAddr,
    /// Ports and applications of this role.
    pub ports: Vec<(u16, App)>,
    /// Its clients.
    pub clients: BTreeSet<IpAddr>,
    /// Conversations by the hour of the day (UTC).
    pub by_hour: [u64; 24],
    /// Bytes that clients sent.
    pub written: u64,
    /// Bytes that it sent.
    pub read: u64,
    /// What it uses itself, of the services inside: it stops when they do.
    pub needs: Vec<(Role, IpAddr)>,
    /// Copies that were seen to leave the host, the largest first.
    pub copies: Vec<Copied>,
}

/// The hosts by role.
pub(super) fn key_services(services: &[Service], copies: &Copies) -> Vec<KeyService> {
    let controllers = controllers(services);
    let mut found: BTreeMap<(Role, IpAddr), KeyService> = BTreeMap::new();
    for service in services {
        let Some(mut role) = role_of(service, &controllers) else { continue };
        // borg and others that copy inside SSH
        if service.app == App::Ssh && copies.reach(service.host, App::Ssh) {
            role = Role::Backup;
        }
        let key = found.entry((role, service.host)).or_insert_with(|| KeyService {
            role,
            host: service.host,
            ports: Vec::new(),
            clients: BTreeSet::new(),
            by_hour: [0; 24],
            written: 0,
            read: 0,
            needs: Vec::new(),
            copies: copies.from(service.host),
        });
        if !key.ports.contains(&(service.port, service.app)) && key.ports.len() < 16 {
            key.ports.push((service.port, service.app));
        }
        key.clients.extend(&service.clients);
        for (sum, count) in key.by_hour.iter_mut().zip(service.by_hour) {
            *sum += count;
        }
        key.written += service.written;
        key.read += service.read;
    }
    let edges: Vec<_> = found
        .values()
        .flat_map(|key| key.clients.iter().map(|client| (*client, key.role, key.host)))
        .collect();
    for key in found.values_mut() {
        key.needs = edges
            .iter()
            .filter(|(client, _, host)| *client == key.host && *host != key.host)
            .map(|&(_, role, host)| (role, host))
            .collect();
        key.needs.sort();
        key.needs.dedup();
    }
    let mut list: Vec<_> = found.into_values().collect();
    list.sort_by_key(|key| (key.role, std::cmp::Reverse(key.clients.len()), key.host));
    list
}

/// Hosts that answer both for tickets and for the directory.
fn controllers(services: &[Service]) -> BTreeSet<IpAddr> {
    let with = |apps: &[App]| -> BTreeSet<IpAddr> {
        services.iter().filter(|s| apps.contains(&s.app)).map(|s| s.host).collect()
    };
    let (tickets, directory) = (with(&[App::Kerberos]), with(&[App::Ldap, App::Cldap]));
    tickets.intersection(&directory).copied().collect()
}

fn role_of(service: &Service, controllers: &BTreeSet<IpAddr>) -> Option<Role> {
    let of_controller = matches!(
        service.app,
        App::Kerberos | App::Kpasswd | App::Ldap | App::Cldap | App::Dns | App::DceRpc | App::Ntp
    );
    if of_controller && controllers.contains(&service.host) {
        return Some(Role::DomainController);
    }
    Role::of(service.app)
}
