//! The protocol hierarchy: how often each chain of headers occurs.

use super::table::Counts;

/// Nodes kept at most: frames cannot make more, their deeper layers count at the last node kept.
const NODES_MAX: usize = 4096;

/// One protocol under its parents.
#[derive(Debug, Clone)]
struct Node {
    kind: &'static str,
    /// By port number only.
    guessed: bool,
    counts: Counts,
    children: Vec<u32>,
}

/// A tree of protocols with counts; a frame counts once at each node of its chain.
#[derive(Debug, Clone)]
pub struct Tree {
    nodes: Vec<Node>,
}

/// A line of the printed hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Row {
    /// Levels above it.
    pub depth: usize,
    /// Wireshark's protocol name.
    pub kind: &'static str,
    /// Named by its port number alone.
    pub by_port: bool,
    /// Frames that contain the chain down to here, and their bytes.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Default for Tree {
    fn default() -> Self {
        let root = Node { kind: "", guessed: false, counts: Counts::default(), children: vec![] };
        Self { nodes: vec![root] }
    }
}

impl Tree {
    /// Counts a chain of protocols; `app` is one more, guessed from the port.
    pub fn add<'a>(
        &mut self,
        kinds: impl Iterator<Item = &'static str> + 'a,
        app: Option<&'static str>,
        counts: Counts,
    ) {
        let mut at = 0;
        let chain = kinds.map(|kind| (kind, false)).chain(app.map(|app| (app, true)));
        for (kind, guessed) in chain {
            let Some(child) = self.child(at, kind, guessed) else { return };
            self.nodes[child].counts.merge(counts);
            at = child;
        }
    }

    fn child(&mut self, parent: usize, kind: &'static str, guessed: bool) -> Option<usize> {
        let is = |n: &Node| n.guessed == guessed && (std::ptr::eq(n.kind, kind) || n.kind == kind);
        let known = self.nodes[parent].children.iter().position(|&c| is(&self.nodes[c as usize]));
        if let Some(at) = known {
            return Some(self.nodes[parent].children[at] as usize);
        }
        if self.nodes.len() == NODES_MAX {
            return None;
        }
        let new = self.nodes.len();
        let node = Node { kind, guessed, counts: Counts::default(), children: vec![] };
        self.nodes.push(node);
        self.nodes[parent].children.push(new as u32);
        Some(new)
    }

    /// Adds the counts of another.
    pub(super) fn merge(&mut self, other: &Self) {
        // a node stands behind its parent, so that the parent's place here is known already
        let mut places = vec![None; other.nodes.len()];
        places[0] = Some(0);
        for (at, node) in other.nodes.iter().enumerate() {
            for &child in &node.children {
                let own = &other.nodes[child as usize];
                let place = places[at].and_then(|at| self.child(at, own.kind, own.guessed));
                if let Some(place) = place {
                    self.nodes[place].counts.merge(own.counts);
                }
                places[child as usize] = place;
            }
        }
    }

    /// Depth first, the commonest child first.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::with_capacity(self.nodes.len());
        let mut stack = vec![(0, 0)];
        while let Some((depth, at)) = stack.pop() {
            let node = &self.nodes[at];
            if at != 0 {
                let Node { kind, guessed, counts, .. } = *node;
                rows.push(Row { depth: depth - 1, kind, by_port: guessed, counts });
            }
            let mut children = node.children.clone();
            let rank = |&c: &u32| {
                let child = &self.nodes[c as usize];
                (child.counts.frames, std::cmp::Reverse(child.kind))
            };
            children.sort_by_key(rank);
            stack.extend(children.into_iter().map(|c| (depth + 1, c as usize)));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_add_up() {
        let mut tree = Tree::default();
        let one = |bytes| Counts { frames: 1, bytes };
        tree.add(["eth", "ip", "tcp"].into_iter(), Some("ssh"), one(60));
        tree.add(["eth", "ip", "tcp"].into_iter(), None, one(100));
        tree.add(["eth", "arp"].into_iter(), None, one(42));
        let text: Vec<_> = tree
            .rows()
            .iter()
            .map(|r| (r.depth, r.kind, r.by_port, r.counts.frames, r.counts.bytes))
            .collect();
        assert_eq!(
            text,
            [
                (0, "eth", false, 3, 202),
                (1, "ip", false, 2, 160),
                (2, "tcp", false, 2, 160),
                (3, "ssh", true, 1, 60),
                (1, "arp", false, 1, 42),
            ]
        );
    }

    #[test]
    fn trees_merge() {
        let chains: [&[&str]; 4] =
            [&["eth", "ip", "tcp"], &["eth", "arp"], &["eth", "ip"], &["eth", "ip", "udp"]];
        let one = Counts { frames: 1, bytes: 60 };
        let (mut all, mut parts) = (Tree::default(), [Tree::default(), Tree::default()]);
        for (i, chain) in chains.iter().cycle().take(7).enumerate() {
            let app = (i % 3 == 0).then_some("ssh");
            all.add(chain.iter().copied(), app, one);
            parts[i % 2].add(chain.iter().copied(), app, one);
        }
        let [mut first, second] = parts;
        first.merge(&second);
        assert_eq!(first.rows(), all.rows());
    }

    #[test]
    fn hostile_chains_do_not_grow_it_without_end() {
        const NAMES: [&str; 4] = ["vlan", "mpls", "gre", "ip"];
        let mut tree = Tree::default();
        for n in 0..40_000_usize {
            let chain = (0..16).map(move |i| NAMES[n >> i & 1 | (n >> (i + 1) & 1) << 1]);
            tree.add(chain, None, Counts { frames: 1, bytes: 60 });
        }
        assert_eq!(tree.nodes.len(), NODES_MAX);
    }
}
