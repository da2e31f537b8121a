//! A way between a client and a server that counts what passes, and is cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Listens on a port of loopback and passes on what comes.
#[derive(Debug)]
pub struct Way {
    /// Where it listens.
    pub address: String,
    passed: Arc<AtomicU64>,
}

impl Way {
    /// To a server. The n-th connection is cut when so many bytes went by in both directions
    /// together; those behind the last of `cuts` are not.
    ///
    /// # Panics
    /// When there is no port to listen on.
    pub fn new(to: String, cuts: Vec<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let passed = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&passed);
        std::thread::spawn(move || {
            let mut cuts = cuts.into_iter();
            for near in listener.incoming().map_while(Result::ok) {
                let left = cuts.next().map_or(i64::MAX, |n| n as i64);
                let Ok(far) = TcpStream::connect(&to) else { continue };
                let left = Arc::new(AtomicI64::new(left));
                // what comes in small pieces goes on in small pieces
                if near.set_nodelay(true).and_then(|()| far.set_nodelay(true)).is_err() {
                    continue;
                }
                let (Ok(back), Ok(forth)) = (near.try_clone(), far.try_clone()) else { continue };
                let (limit, count) = (Arc::clone(&left), Arc::clone(&count));
                std::thread::spawn(move || pass(near, forth, &limit, &count));
                std::thread::spawn(move || pass(far, back, &left, &AtomicU64::new(0)));
            }
        });
        Self { address, passed }
    }

    /// Bytes from clients to the server since this was asked last.
    pub fn passed(&self) -> u64 {
        self.passed.swap(0, Ordering::Relaxed)
    }
}

fn pass(mut from: TcpStream, mut into: TcpStream, left: &AtomicI64, count: &AtomicU64) {
    let mut bytes = [0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        let before = left.fetch_sub(n as i64, Ordering::Relaxed);
        let may = (before.max(0) as usize).min(n);
        count.fetch_add(may as u64, Ordering::Relaxed);
        if into.write_all(&bytes[..may]).is_err() || may < n {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = into.shutdown(Shutdown::Both);
}
