//! `--trigger`: a filter, and memory for what came before it matched.

use anyhow::{Context, bail};
use capture::filter::Filter;
use capture::write::Pretrigger;
use skb::LinkType;

use super::Args;
use super::take::Trigger;
use crate::term::bytes;

/// Compiles the filter and locks the memory.
pub(super) fn prepare(args: &Args, linktype: LinkType) -> anyhow::Result<Option<Trigger>> {
    let Some(expression) = &args.trigger else { return Ok(None) };
    let filter = Filter::new(expression, linktype)?;
    let ns = |what: &str, time: std::time::Duration| {
        i64::try_from(time.as_nanos()).with_context(|| format!("{what}: more than 292 years"))
    };
    let (before_ns, after_ns) = (ns("--before", args.before)?, ns("--after", args.after)?);
    let size = usize::try_from(args.before_memory)?;
    match Pretrigger::new(size, before_ns) {
        Ok(memory) => Ok(Some(Trigger::new(filter, memory, before_ns, after_ns))),
        Err(error) => {
            let program = std::env::current_exe()
                .map_or_else(|_| "framewalk".to_owned(), |path| path.display().to_string());
            bail!(
                "cannot lock {} of memory ({error}): frames that nobody asked for must not reach \
                 the swap. A smaller --before-memory may do, or type: sudo setcap \
                 cap_net_raw,cap_net_admin,cap_ipc_lock+ep {program}",
                bytes(args.before_memory)
            )
        }
    }
}
