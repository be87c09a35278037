//! [`Events`]: server-sent events out of bytes.

use std::{collections::VecDeque, mem};

use crate::{
    limits,
    model::{Error, Result},
};

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Cuts bytes into the data of server-sent events, wherever the network has split them.
///
/// As the WHATWG's HTML standard has it (9.2.6): lines end with CR LF, LF or CR; lines of `data` in
/// one event are joined with LF; comments and other fields mean nothing here; an event without its
/// blank line never was.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// The data of the event that has not ended yet.
    data: Option<Vec<u8>>,
    /// The last byte was a CR: an LF now belongs to it.
    after_cr: bool,
    /// The first line is over.
    begun: bool,
    ready: VecDeque<Vec<u8>>,
}

impl Events {
    /// Takes bytes as they come.
    ///
    /// # Errors
    /// [`Error::Malformed`] when an event has more than [`limits::EVENT_BYTES`].
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        for &byte in bytes {
            let after_cr = mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => self.end_line(),
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.as_ref().map_or(0, Vec::len) > limits::EVENT_BYTES {
                return Err(Error::Malformed(format!("an event of more than {} bytes", limits::EVENT_BYTES)));
            }
        }
        Ok(())
    }

    /// The data of the next event that is complete.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let line = mem::take(&mut self.line);
        let first = !mem::replace(&mut self.begun, true);
        let line = line.strip_prefix(BYTE_ORDER_MARK).filter(|_| first).unwrap_or(&line);
        if line.is_empty() {
            self.ready.extend(self.data.take());
            return;
        }
        let value = match line.strip_prefix(b"data") {
            Some([]) => &[],
            Some([b':', b' ', value @ ..] | [b':', value @ ..]) => value,
            _ => return,
        };
        match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            None => self.data = Some(value.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes the pieces and says what came out.
    fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut events = Events::default();
        for piece in pieces {
            events.push(piece).expect("small enough");
        }
        std::iter::from_fn(|| events.pop()).map(|data| String::from_utf8_lossy(&data).into_owned()).collect()
    }

    #[test]
    fn events_come_out_wherever_the_bytes_are_split() {
        for (text, expected) in [
            ("", [].as_slice()),
            ("data: one\n\ndata:two\n\n", &["one", "two"]),
            ("data: one\r\n\r\ndata: two\r\rdata: three\n\n", &["one", "two", "three"]),
            ("data: two\ndata:  lines\ndata\n\n", &["two\n lines\n"]),
            (": comment\n\n:\ndata: x\nid: 7\nevent: y\nretry: 1\ndatum: z\n: more\n\n\n\n", &["x"]),
            ("\u{feff}data: marked\n\n\u{feff}data: not here\n\n", &["marked"]),
            ("data: ä\u{1f980}\u{2028}\n\n", &["ä\u{1f980}\u{2028}"]),
            ("data: complete\n\ndata: cut off\n", &["complete"]),
            ("data: [DONE]\n\n", &["[DONE]"]),
            ("data\n\ndata:\n\n", &["", ""]),
        ] {
            let bytes = text.as_bytes();
            assert_eq!(events([bytes]), expected, "whole");
            assert_eq!(events(bytes.chunks(1)), expected, "byte by byte");
            for at in 0..bytes.len() {
                let (left, right) = bytes.split_at(at);
                assert_eq!(events([left, right]), expected, "split at {at}");
            }
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut events = Events::default();
        let line = format!("data: {}\n", "x".repeat(1000));
        let fits = limits::EVENT_BYTES / line.len();
        for _ in 0..fits {
            events.push(line.as_bytes()).expect("small enough");
        }
        let refused = (0..10).find_map(|_| events.push(line.as_bytes()).err());
        assert!(matches!(refused, Some(Error::Malformed(_))), "{refused:?}");
    }
}
