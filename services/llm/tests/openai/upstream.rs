//! [`Upstream`]: an endpoint on a real socket that answers as it is told, byte for byte.

use std::net::Ipv4Addr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

/// What an endpoint was asked.
#[derive(Debug)]
pub(crate) struct Request {
    /// Request line and headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// What an endpoint answers, whatever it is asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    /// Written one by one.
    pieces: Vec<Vec<u8>>,
    /// Neither ends the answer nor closes the connection.
    hangs: bool,
}

impl Script {
    /// These bytes, HTTP or not.
    pub(crate) fn raw(bytes: &str) -> Self {
        Self { pieces: vec![bytes.into()], hangs: false }
    }

    /// An answer of a known length. `head` is the status, and lines of headers.
    pub(crate) fn whole(head: &str, body: &str) -> Self {
        Self::raw(&format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    }

    /// A stream of events in these pieces.
    pub(crate) fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = |piece: &[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        let chunks = pieces.into_iter().filter(|piece| !piece.is_empty()).map(chunk);
        Self { pieces: [head.into()].into_iter().chain(chunks).chain([b"0\r\n\r\n".to_vec()]).collect(), hangs: false }
    }

    /// Without the last piece, and silent from there.
    pub(crate) fn hanging(mut self) -> Self {
        self.pieces.pop();
        self.hangs = true;
        self
    }

    /// Without the last piece, and then closed.
    pub(crate) fn cut(mut self) -> Self {
        self.pieces.pop();
        self
    }
}

/// An endpoint on a port of its own. It is gone when dropped.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) url: String,
    requests: mpsc::UnboundedReceiver<Request>,
    left: mpsc::UnboundedReceiver<()>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (asked, requests) = mpsc::unbounded_channel();
        let (leave, left) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, asked, leave) = (script.clone(), asked.clone(), leave.clone());
                connections.spawn(async move {
                    if let Some(()) = answer(stream, script, asked).await {
                        // Nobody has to want to know.
                        let _ = leave.send(());
                    }
                });
            }
        });
        Self { url, requests, left, _tasks: tasks }
    }

    /// The next request.
    pub(crate) async fn request(&mut self) -> Request {
        self.requests.recv().await.expect("the endpoint runs")
    }

    /// Resolves when a client closes a connection that hangs.
    pub(crate) async fn left(&mut self) {
        self.left.recv().await.expect("the endpoint runs")
    }
}

/// Reads one request and answers it. `Some` when the client left a connection that hangs.
async fn answer(mut stream: TcpStream, script: Script, asked: mpsc::UnboundedSender<Request>) -> Option<()> {
    asked.send(read(&mut stream).await?).ok()?;
    stream.set_nodelay(true).ok()?;
    for piece in script.pieces {
        stream.write_all(&piece).await.ok()?;
    }
    if !script.hangs {
        stream.shutdown().await.ok()?;
    }
    // A close with bytes unread would be a reset, which may overtake the answer.
    let rest = stream.read_to_end(&mut Vec::new()).await;
    script.hangs.then(|| drop(rest))
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        // Whatever it is, it is not for us: TLS, for one.
        if !bytes.starts_with(&b"POST"[..bytes.len().min(4)]) {
            return None;
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse::<usize>().ok()?;
        if let Some(body) = bytes.get(end + 4..end + 4 + length) {
            return Some(Request { body: serde_json::from_slice(body).ok()?, head });
        }
    }
}
