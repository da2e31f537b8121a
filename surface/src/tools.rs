//! Remote-support tools by the names of their relays and agents' hosts.
//!
//! From the public list LOLRMM (Apache-2.0) and vendors' pages. Only hosts that a tool's own
//! program talks to are here; a vendor's web site, which browsers visit too, is no evidence.

use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::RandomState;

use crate::App;

/// A name, by its last labels. A star stands for the rest of its label, or for one or more labels
/// where it is alone in front.
const RELAYS: &[(&str, App)] = &[
    ("router*.teamviewer.com", App::TeamViewer),
    ("master*.teamviewer.com", App::TeamViewer),
    ("ping3.teamviewer.com", App::TeamViewer),
    ("client.teamviewer.com", App::TeamViewer),
    ("taf.teamviewer.com", App::TeamViewer),
    ("*.net.anydesk.com", App::AnyDesk),
    ("*.screenconnect.com", App::ScreenConnect),
    ("control.connectwise.com", App::ScreenConnect),
    ("*.relay.splashtop.com", App::Splashtop),
    ("*.api.splashtop.com", App::Splashtop),
    ("*.api.splashtop.eu", App::Splashtop),
    ("*.logmein-gateway.com", App::LogMeIn),
    ("logmein-gateway.com", App::LogMeIn),
    ("*.logmeinrescue.com", App::LogMeIn),
    ("*.logmeinrescue.eu", App::LogMeIn),
    ("*.fastsupport.com", App::GoTo),
    ("*.gotoassist.com", App::GoTo),
    ("*.gotoassist.me", App::GoTo),
    ("*.gotoassist.at", App::GoTo),
    ("*.desktopstreaming.com", App::GoTo),
    ("rs-*.rustdesk.com", App::RustDesk),
    ("api.rustdesk.com", App::RustDesk),
    ("signal.hoptodesk.com", App::HopToDesk),
    ("turn.hoptodesk.com", App::HopToDesk),
    ("api.hoptodesk.com", App::HopToDesk),
    ("remotedesktop-pa.googleapis.com", App::ChromeRemoteDesktop),
    ("chromoting-*.talkgadget.google.com", App::ChromeRemoteDesktop),
    ("remoteassistance.support.services.microsoft.com", App::QuickAssist),
    ("*.zohoassist.com", App::ZohoAssist),
    ("*.zohoassist.jp", App::ZohoAssist),
    ("*.zohoassist.com.cn", App::ZohoAssist),
    ("*.bomgarcloud.com", App::BeyondTrust),
    ("*.beyondtrustcloud.com", App::BeyondTrust),
    ("*.remotepc.com", App::RemotePc),
    ("*.islonline.net", App::IslOnline),
    ("*.dwservice.net", App::DwService),
    ("*.supremocontrol.com", App::Supremo),
    ("*.ultraviewer.net", App::UltraViewer),
    ("auth*.aeroadmin.com", App::AeroAdmin),
    ("*.ammyy.com", App::Ammyy),
    ("go.getscreen.me", App::Getscreen),
    ("px-*.getscreen.me", App::Getscreen),
    ("*.iperius-rs.com", App::Iperius),
    ("*.iperiusremote.com", App::Iperius),
    ("*.dronemaker.org", App::SimpleHelp),
    ("*.telesupportgroup.com", App::SimpleHelp),
    ("*.microuptime.com", App::SimpleHelp),
    ("*.internetid.ru", App::RemoteUtilities),
    ("*.parsec.app", App::Parsec),
    ("agent-api.atera.com", App::Atera),
    ("pubsub.atera.com", App::Atera),
    ("ps.atera.com", App::Atera),
    ("agenthb.atera.com", App::Atera),
    ("*.ninjarmm.com", App::NinjaOne),
    ("*.ninjarmm.net", App::NinjaOne),
    ("*.rmmservice.eu", App::NinjaOne),
    ("*.rmmservice.ca", App::NinjaOne),
    ("*.rmmservice.com.au", App::NinjaOne),
    ("*.remote.management", App::NAble),
    ("*.systemmonitor.us", App::NAble),
    ("*.systemmonitor.eu.com", App::NAble),
    ("*.systemmonitor.co.uk", App::NAble),
    ("*.beanywhere.com", App::NAble),
    ("*.swi-tc.com", App::NAble),
    ("*.rmm.datto.com", App::Datto),
    ("*.centrastage.net", App::Datto),
    ("managedsupport.kaseya.net", App::Kaseya),
    ("*.hostedrmm.com", App::Automate),
    ("*.syncromsp.com", App::Syncro),
    ("*.syncroapi.com", App::Syncro),
    ("*.kabutoservices.com", App::Syncro),
    ("agents.level.io", App::Level),
    ("*.action1.com", App::Action1),
    ("agentmqtt.fleetdeck.io", App::FleetDeck),
    ("*.pulseway.com", App::Pulseway),
    ("*.mspbackups.com", App::Msp360),
    ("connect.*.ngrok-agent.com", App::Ngrok),
    ("*.argotunnel.com", App::Cloudflared),
    ("controlplane.tailscale.com", App::Tailscale),
];

/// Names below a star that are a vendor's web site all the same.
const SITES: &[&str] = &["www", "support", "help", "blog", "docs", "login", "my", "web"];

/// The last two labels of a name.
fn tail(name: &str) -> &str {
    match name.rmatch_indices('.').nth(1) {
        Some((dot, _)) => &name[dot + 1..],
        None => name,
    }
}

type Relays = HashMap<&'static str, Vec<(&'static str, App)>, RandomState>;

/// The names by their last two labels, in which no star is.
static BY_TAIL: LazyLock<Relays> = LazyLock::new(|| {
    let mut all = Relays::default();
    for &(pattern, app) in RELAYS {
        all.entry(tail(pattern)).or_default().push((pattern, app));
    }
    all
});

/// The tool whose own hosts have such a name.
pub(crate) fn by_relay(host: &str) -> Option<App> {
    let host = host.trim_end_matches('.');
    if !host.is_ascii() {
        return None;
    }
    let host = host.to_ascii_lowercase();
    let first = host.split('.').next().unwrap_or_default();
    BY_TAIL
        .get(tail(&host))?
        .iter()
        .find(|(pattern, _)| {
            let any_in_front = pattern.starts_with("*.");
            fits(pattern, &host) && !(any_in_front && SITES.contains(&first))
        })
        .map(|&(_, app)| app)
}

fn fits(pattern: &str, host: &str) -> bool {
    if let Some(suffix) = pattern.strip_prefix("*.") {
        return host
            .strip_suffix(suffix)
            .is_some_and(|front| front.len() > 1 && front.ends_with('.'));
    }
    let (mut labels, mut parts) = (host.split('.'), pattern.split('.'));
    loop {
        match (labels.next(), parts.next()) {
            (None, None) => return true,
            (Some(label), Some(part)) if label_fits(part, label) => {}
            _ => return false,
        }
    }
}

fn label_fits(pattern: &str, label: &str) -> bool {
    match pattern.split_once('*') {
        Some((front, "")) => label.starts_with(front),
        Some(_) => false,
        None => pattern == label,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_star_is_in_the_last_two_labels() {
        for (pattern, _) in RELAYS {
            assert!(!tail(pattern).contains('*') && tail(pattern).contains('.'), "{pattern}");
        }
    }

    #[test]
    fn names_fit_on_label_boundaries_only() {
        assert_eq!(by_relay("relay-0a1b.net.anydesk.com"), Some(App::AnyDesk));
        assert_eq!(by_relay("Router12.TeamViewer.com."), Some(App::TeamViewer));
        assert_eq!(by_relay("connect.eu.ngrok-agent.com"), Some(App::Ngrok));
        for other in [
            "anydesk.com",
            "evilnet.anydesk.com",
            "www.teamviewer.com",
            "www.remotepc.com",
            "x.remotepc.com.example",
            "myremotepc.com",
            "",
        ] {
            assert_eq!(by_relay(other), None, "{other}");
        }
    }
}
