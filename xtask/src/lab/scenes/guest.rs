//! wip
pub(crate) fn fetch_kernel() -> anyhow::Result<()> {
    anyhow::bail!("wip")
}
