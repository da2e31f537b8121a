//! A path with a thread that runs it, as its users have it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use skb::PortId;
use skb::trace::Tracer;

use super::door::Door;
use super::end::{Conn, PathStream, stopped};
use super::listener::{PathListener, Queue};
use super::live::Live;
use super::report::PathReport;
use super::runner::{Command, Runner};
use crate::engine::Engine;

/// A path with a thread that runs it; see the module text.
#[derive(Debug)]
pub struct Pump {
    commands: Sender<Command>,
    door: Arc<Door>,
    pipe_bytes: usize,
    thread: Option<JoinHandle<PathReport>>,
}

impl Pump {
    /// Starts a thread that runs `engine` until [`stop`](Self::stop). Each connection gets two
    /// pipes of `pipe_bytes`.
    pub fn start<T>(engine: Engine<T>, pipe_bytes: usize) -> io::Result<Self>
    where
        T: Tracer + Send + 'static,
    {
        let (commands, inbox) = channel();
        let door = Arc::new(Door::of(&engine));
        let runner = Runner::new(engine, inbox, door.clone(), pipe_bytes);
        let thread = std::thread::Builder::new().name("path".into()).spawn(|| runner.run())?;
        Ok(Self { commands, door, pipe_bytes, thread: Some(thread) })
    }

    fn say(&self, command: Command) -> io::Result<()> {
        self.commands.send(command).map_err(|_| stopped())?;
        self.door.ring();
        Ok(())
    }

    /// Connects the guest at `port` to `remote`, waiting at most `timeout`.
    ///
    /// # Errors
    /// Nobody answers, nobody serves that port, or the guest has no such address to speak from.
    pub fn connect(
        &self,
        port: PortId,
        remote: SocketAddr,
        timeout: Duration,
    ) -> io::Result<PathStream> {
        let (conn, outgoing, incoming) = Conn::new(self.pipe_bytes, self.door.clone());
        conn.set_peer(remote);
        let live = Box::new(Live::new(port, conn.clone(), outgoing, incoming));
        let stream = PathStream::new(conn);
        self.say(Command::Open { port, remote, live })?;
        stream.connected(timeout)
    }

    /// Lets the guest at `port` serve `tcp_port`: at most `backlog` connections at a time, further
    /// ones are reset.
    ///
    /// # Errors
    /// No guest is there, or it has no sockets left.
    pub fn listen(&self, port: PortId, tcp_port: u16, backlog: usize) -> io::Result<PathListener> {
        let queue = Arc::new(Queue::default());
        let (reply, answer) = sync_channel(1);
        self.say(Command::Listen { port, tcp_port, backlog, queue: queue.clone(), reply })?;
        answer.recv().map_err(|_| stopped())??;
        Ok(PathListener::new(queue))
    }

    /// What the path has done so far.
    pub fn report(&self) -> io::Result<PathReport> {
        let (reply, answer) = sync_channel(1);
        self.say(Command::Report { reply })?;
        answer.recv().map_err(|_| stopped())
    }

    /// Stops it: connections that their users have dropped get `grace` to send what was written
    /// and to close, the others end. What the path has done in all.
    pub fn stop(mut self, grace: Duration) -> io::Result<PathReport> {
        // one that has ended by itself, without its interface, has its report still
        let _ = self.say(Command::Stop { grace });
        let thread = self.thread.take().ok_or_else(stopped)?;
        thread.join().map_err(|_| io::Error::other("the thread of the path has panicked"))
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // without a thread there is nothing to stop, and a panic there was told already
            let _ = self.say(Command::Stop { grace: Duration::ZERO });
            let _ = thread.join();
        }
    }
}
