//! HL7 version 2 over TCP, in the minimal lower layer protocol: a message between 0x0b and
//! 0x1c 0x0d, each answered (HL7 "Transport Specification: MLLP", release 1).

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

const BEGIN: u8 = 0x0b;
const END: [u8; 2] = [0x1c, 0x0d];
/// Longest wait for the other end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest message taken.
const MESSAGE_MAX: usize = 65_536;

/// Runs `listen ADDRESS`, or `send ADDRESS FILE...`: each file is a message.
///
/// # Errors
/// Names what was asked for wrongly, or which step with the other end failed.
pub(crate) fn run(args: &[String]) -> Result<()> {
    match args {
        [role, address] if role == "listen" => listen(address),
        [role, address, files @ ..] if role == "send" => send(address, files),
        _ => bail!("listen ADDRESS, or send ADDRESS FILE..."),
    }
}

fn listen(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
    eprintln!("listening");
    for stream in listener.incoming() {
        if let Err(error) = answer(stream?) {
            eprintln!("{error:#}");
        }
    }
    Ok(())
}

/// Acknowledges whatever one client sends, until it hangs up.
fn answer(stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(message) = receive(&mut reader)? {
        let id = message.split('|').nth(9).unwrap_or_default();
        let acknowledgment = format!(
            "MSH|^~\\&|LAB|PRACTICE|PRAXIS|PRACTICE|20261123081501||ACK|A{id}|P|2.5\rMSA|AA|{id}\r"
        );
        writer.write_all(&framed(&acknowledgment))?;
    }
    Ok(())
}

fn send(address: &str, files: &[String]) -> Result<()> {
    let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    for file in files {
        let message = std::fs::read_to_string(file).with_context(|| file.clone())?;
        writer.write_all(&framed(&message))?;
        let answer = receive(&mut reader)?.context("no answer")?;
        anyhow::ensure!(answer.contains("MSA|AA|"), "refused: {answer}");
    }
    Ok(())
}

fn framed(message: &str) -> Vec<u8> {
    let mut bytes = vec![BEGIN];
    bytes.extend_from_slice(message.as_bytes());
    bytes.extend_from_slice(&END);
    bytes
}

/// The next message, or `None` when the other end has hung up.
fn receive(reader: &mut impl BufRead) -> Result<Option<String>> {
    let mut bytes = Vec::new();
    loop {
        let mut more = Vec::new();
        std::io::Read::take(&mut *reader, MESSAGE_MAX as u64).read_until(END[1], &mut more)?;
        if more.is_empty() {
            return Ok(None);
        }
        bytes.extend_from_slice(&more);
        anyhow::ensure!(bytes.len() <= MESSAGE_MAX, "a message over {MESSAGE_MAX} bytes");
        if bytes.ends_with(&END) {
            break;
        }
    }
    let [BEGIN, message @ .., _, _] = bytes.as_slice() else {
        bail!("a message that does not begin with 0x0b");
    };
    Ok(Some(String::from_utf8_lossy(message).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_out_of_their_frames() {
        let two = [framed("MSH|^~\\&|A\rPID|1\r"), framed("MSH|B\r")].concat();
        let mut reader = two.as_slice();
        assert_eq!(receive(&mut reader).unwrap().as_deref(), Some("MSH|^~\\&|A\rPID|1\r"));
        assert_eq!(receive(&mut reader).unwrap().as_deref(), Some("MSH|B\r"));
        assert!(receive(&mut reader).unwrap().is_none());
        assert!(receive(&mut &b"MSH|C\r\x1c\r"[..]).is_err());
    }
}
