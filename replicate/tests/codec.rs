//! The protocol's frames: any messages, cut anywhere, read as they were written; any bytes end in
//! an error that says where.

use proptest::prelude::*;
use replicate::wire::{Decoder, Message, PIECE};

/// A message with what it borrows.
#[derive(Debug, Clone)]
enum Owned {
    Numbers(u8, u64, u64, String),
    Data(Vec<u8>),
    Welcome(u16, u8, [u8; 16], String),
    Why(bool, String),
    Bare(u8),
}

impl Owned {
    fn message(&self) -> Message<'_> {
        match self {
            Self::Numbers(kind, one, two, name) => match kind % 10 {
                0 => Message::Hello { version: *one as u16 },
                1 => Message::Join { secret: (u128::from(*one) << 64).to_le_bytes() },
                2 => Message::Get { most: *one, name },
                3 => Message::Range { from: *one, to: *two, name },
                4 => Message::Size { name },
                5 => Message::List { folder: name },
                6 => Message::Put { size: *one, name },
                7 => Message::Delete { name },
                8 => Message::Sweep { grace: *one as i64 },
                _ => Message::Done { one: *one, two: *two },
            },
            Self::Data(bytes) => Message::Data(bytes),
            Self::Welcome(version, role, repository, peer) => {
                Message::Welcome { version: *version, role: *role, repository: *repository, peer }
            }
            Self::Why(true, why) => Message::Refused { why },
            Self::Why(false, why) => Message::Failed { why },
            Self::Bare(kind) => match kind % 5 {
                0 => Message::Ping,
                1 => Message::Bye,
                2 => Message::Absent,
                3 => Message::Pong,
                _ => Message::Long { size: u64::from(*kind) },
            },
        }
    }
}

fn messages() -> impl Strategy<Value = Vec<(u32, Owned)>> {
    let owned = prop_oneof![
        (any::<u8>(), any::<u64>(), any::<u64>(), "[a-z/ä]{0,60}")
            .prop_map(|(kind, one, two, name)| Owned::Numbers(kind, one, two, name)),
        (0_usize..=PIECE).prop_map(|len| Owned::Data(vec![len as u8; len])),
        (any::<u16>(), any::<u8>(), any::<[u8; 16]>(), "[a-z]{0,64}")
            .prop_map(|(version, role, id, peer)| Owned::Welcome(version, role, id, peer)),
        (any::<bool>(), "[ -~]{0,1024}").prop_map(|(no, why)| Owned::Why(no, why)),
        any::<u8>().prop_map(Owned::Bare),
    ];
    prop::collection::vec((any::<u32>(), owned), 1..12)
}

/// Feeds a stream in pieces of these sizes, in turn, and hands each message to `each`.
fn feed(
    stream: &[u8],
    sizes: &[usize],
    mut each: impl FnMut(u32, Message<'_>),
) -> Result<(), replicate::wire::Malformed> {
    let mut decoder = Decoder::default();
    let (mut rest, mut sizes) = (stream, sizes.iter().cycle());
    loop {
        while let Some((request, message)) = decoder.poll()? {
            each(request, message);
        }
        if rest.is_empty() {
            return Ok(());
        }
        let space = decoder.space();
        assert!(!space.is_empty(), "there is room after all frames were taken");
        let taken = sizes.next().copied().unwrap_or(1).min(space.len()).min(rest.len());
        space[..taken].copy_from_slice(&rest[..taken]);
        decoder.filled(taken);
        rest = &rest[taken..];
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read(
        messages in messages(),
        sizes in prop::collection::vec(1_usize..100_000, 1..6),
    ) {
        let mut stream = Vec::new();
        for (request, message) in &messages {
            message.message().encode(*request, &mut stream);
        }
        let mut at = 0;
        feed(&stream, &sizes, |request, message| {
            assert_eq!((request, message), (messages[at].0, messages[at].1.message()));
            at += 1;
        }).unwrap();
        prop_assert_eq!(at, messages.len());
    }

    #[test]
    fn any_bytes_end_in_an_error_or_in_nothing(
        stream in prop::collection::vec(any::<u8>(), 0..2000),
        sizes in prop::collection::vec(1_usize..300, 1..4),
    ) {
        if let Err(e) = feed(&stream, &sizes, |_, _| {}) {
            prop_assert!(e.at <= stream.len() as u64);
        }
    }

    #[test]
    fn a_changed_byte_is_no_panic(
        messages in messages(),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let mut stream = Vec::new();
        for (request, message) in &messages {
            message.message().encode(*request, &mut stream);
        }
        let at = at.index(stream.len());
        stream[at] = to;
        let _ = feed(&stream, &[4096], |_, _| {});
    }
}

#[test]
fn a_length_that_is_too_long_is_refused_before_it_is_waited_for() {
    for length in [0_u32, 4, PIECE as u32 + 6, u32::MAX] {
        let error = feed(&length.to_le_bytes(), &[4], |_, _| {}).unwrap_err();
        assert_eq!(error.at, 0, "{length}");
    }
}
