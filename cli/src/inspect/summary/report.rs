//! The summary as one JSON object: schema `framewalk.summary/1`.

use capture::Reader;
use serde_json::{Value, json};

use super::{Counts, SIZE_BOUNDS, Summary};
use crate::term::time;

/// Hosts and conversations listed.
const TALKERS: usize = 100;

/// Writes it, and a newline.
pub fn write_json(out: &mut Vec<u8>, reader: &Reader, summary: &mut Summary) -> anyhow::Result<()> {
    let (hosts, pairs) = summary.flows.busiest(TALKERS);
    let missed = summary.flows.overflow();
    let flow_counts = summary.flows.flow_counts();
    let (first, last) = summary.wire.span.unzip();
    let object = json!({
        "schema": "framewalk.summary/1",
        "file": reader.name(),
        "format": reader.format().to_string(),
        "compression": reader.compression(),
        "sections": reader.sections().len(),
        "interfaces": interfaces(reader),
        "frames": summary.all.frames,
        "bytes": summary.all.bytes,
        "caplen_bytes": summary.caplen_bytes,
        "frames_cut": summary.cut,
        "frames_malformed": summary.malformed,
        "frames_unread_linktype": summary.unread.frames,
        "first": first.map(time::rfc3339),
        "last": last.map(time::rfc3339),
        "frames_without_time": summary.wire.untimed,
        "frames_backwards": summary.wire.backwards,
        "protocols": summary.tree.rows(),
        "sizes": sizes(summary),
        "vlans": summary.vlans.iter().map(|(vid, counts)| with(json!({"vid": vid}), *counts))
            .collect::<Vec<_>>(),
        "flows": {
            "all": flow_counts.all,
            "tcp": flow_counts.tcp,
            "udp": flow_counts.udp,
            "complete": missed.frames + hosts.missed.frames == 0,
            "overflow_frames": missed.frames,
            "overflow_bytes": missed.bytes,
        },
        "hosts": {
            "count": hosts.all,
            "top": hosts.top.iter()
                .map(|host| with(json!({"address": host.address.to_string()}), host.counts))
                .collect::<Vec<_>>(),
        },
        "conversations": {
            "count": pairs.all,
            "top": pairs.top.iter()
                .map(|p| with(json!({"a": p.a.to_string(), "b": p.b.to_string()}), p.counts))
                .collect::<Vec<_>>(),
        },
        "wire": wire(summary),
    });
    serde_json::to_writer(&mut *out, &object)?;
    out.push(b'\n');
    Ok(())
}

fn interfaces(reader: &Reader) -> Vec<Value> {
    let one = |(index, interface): (usize, &capture::Interface)| {
        json!({
            "interface": index,
            "section": interface.section,
            "linktype": interface.linktype.to_string(),
            "name": interface.name(),
            "description": interface.description(),
            "snaplen": interface.snaplen,
            "speed_bps": interface.speed_bps,
            "frames": interface.frames,
            "bytes": interface.origlen_bytes,
            "dropped": interface.counters.as_ref().and_then(|c| c.dropped),
            "os_dropped": interface.counters.as_ref().and_then(|c| c.os_dropped),
        })
    };
    reader.interfaces().iter().enumerate().map(one).collect()
}

fn sizes(summary: &Summary) -> Vec<Value> {
    let mut from = 0;
    let mut out = Vec::new();
    for (bound, counts) in SIZE_BOUNDS.into_iter().zip(summary.sizes) {
        let to = (bound != u32::MAX).then_some(bound);
        out.push(with(json!({"from": from, "to": to}), counts));
        from = bound.wrapping_add(1);
    }
    out
}

fn wire(summary: &mut Summary) -> Value {
    let total = summary.wire.total;
    let peak = summary.wire.peak().map(|(second, counts)| {
        let second = time::rfc3339(second.saturating_mul(1_000_000_000));
        with(json!({"second": second}), counts)
    });
    json!({
        "frames": total.frames,
        "bytes": total.bytes,
        "peak": peak,
        "oversize_frames": summary.oversize,
        "frames_beyond_seconds_kept": summary.wire.beyond,
    })
}

fn with(mut object: Value, counts: Counts) -> Value {
    object["frames"] = counts.frames.into();
    object["bytes"] = counts.bytes.into();
    object
}
