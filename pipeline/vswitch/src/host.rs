//! The host edge as a capability.

/// The right to wire a port to the host: to the management system's own port, or to a network
/// device that lives in the host's namespace.
///
/// There is one constructor, [`grant`](Self::grant), and it is called where a person's explicit
/// configuration is read, nowhere else. A port that reaches the host *holds* the value
/// ([`PortRole::Host`](crate::PortRole::Host), [`FarEnd::HostDevice`](crate::FarEnd::HostDevice)),
/// so code that was not handed one cannot build such a port. It cannot be made from nothing:
///
/// ```compile_fail,E0451
/// let access = framewalk_vswitch::HostAccess { granted_by: String::new() };
/// ```
///
/// nor by default, nor by copying somebody else's:
///
/// ```compile_fail,E0277
/// fn from_nothing<T: Default>() {}
/// from_nothing::<framewalk_vswitch::HostAccess>();
/// ```
///
/// ```compile_fail,E0277
/// fn copies<T: Clone>() {}
/// copies::<framewalk_vswitch::HostAccess>();
/// ```
///
/// and a host port without it is no value at all:
///
/// ```compile_fail,E0308
/// let role: framewalk_vswitch::PortRole = framewalk_vswitch::PortRole::Host;
/// ```
///
/// The same, with the capability, compiles:
///
/// ```
/// let access = framewalk_vswitch::HostAccess::grant("management_os = true in lab.toml");
/// let role: framewalk_vswitch::PortRole = framewalk_vswitch::PortRole::Host(access);
/// assert!(role.is_host());
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct HostAccess {
    granted_by: String,
}

impl HostAccess {
    /// Grants access to the host. `by` says which configuration asked for it (file and key, or
    /// command-line flag); it is printed in the isolation receipt.
    pub fn grant(by: impl Into<String>) -> Self {
        Self { granted_by: by.into() }
    }

    /// What asked for it.
    pub fn granted_by(&self) -> &str {
        &self.granted_by
    }
}
