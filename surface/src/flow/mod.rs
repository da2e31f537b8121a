//! Conversations: both directions of one 5-tuple, what was counted of them, and where they are
//! kept.

mod key;
mod record;
mod stream;
mod table;

pub use key::{Key, Side};
pub use record::{Flow, Opener, TcpState};
pub(crate) use record::{IDLE_NS, Look, flags};
pub(crate) use stream::{Piece, Stream};
pub(crate) use table::{FlowId, Hasher, Table};
