//! Child processes that do not outlive the thread that started them.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The kernel kills the child when the thread that starts it ends, however that comes about
/// (`PR_SET_PDEATHSIG`, prctl(2)): nothing goes on running in a namespace that nobody watches.
pub fn tie_to_this_thread(command: &mut Command) -> &mut Command {
    let parent = std::process::id();
    // SAFETY: between fork and exec only prctl and getppid are called, plain system calls that take
    // and return integers, allocate nothing and take no lock.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) != 0 {
                return Err(io::Error::last_os_error());
            }
            // it may have ended in between
            if libc::getppid() as u32 != parent {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_child_ends_with_the_thread_that_started_it() {
        let mut child = std::thread::spawn(|| {
            tie_to_this_thread(Command::new("sleep").arg("60")).spawn().unwrap()
        })
        .join()
        .unwrap();
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "it goes on");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(!status.success(), "{status}");
    }
}
