//! A client of HTTP that sees every byte.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::support::Stream;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// A header, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        rstmdb_rcp::json::value_of_bytes(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Its body, if the request was done.
    pub fn ok(&self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{self:?} {}",
            self.text()
        );
        self.json()
    }

    /// Its problem.
    pub fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?} {}", self.text());
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let problem = self.json();
        assert_eq!(
            (&problem["code"], &problem["status"]),
            (&code.into(), &status.into())
        );
        assert_eq!(problem["type"], format!("urn:rstmdb:error:{code}"));
        problem
    }
}

/// A connection that is kept open.
pub struct Http {
    stream: BufReader<Box<dyn Stream>>,
    /// Added to every request.
    pub headers: Vec<(String, String)>,
    /// What the server is called in requests.
    host: String,
}

impl Http {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap(), &addr.to_string())
    }

    /// Over a connection that exists, to a server of this name.
    pub fn over(stream: impl Stream + 'static, host: &str) -> Self {
        Self {
            stream: BufReader::new(Box::new(stream)),
            headers: Vec::new(),
            host: host.to_owned(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub async fn get(&mut self, target: &str) -> Response {
        self.send("GET", target, &[], None).await
    }

    pub async fn send_json(&mut self, method: &str, target: &str, body: &Value) -> Response {
        let headers = [("Content-Type", "application/json")];
        self.send(method, target, &headers, Some(&body.to_string()))
            .await
    }

    pub async fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Response {
        self.begin(method, target, headers, body).await;
        self.response(method).await
    }

    /// Sends a request, and leaves the response to be read.
    pub async fn begin(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) {
        let mut text = format!("{method} {target} HTTP/1.1\r\n");
        let own = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let given: Vec<(&str, &str)> = own.chain(headers.iter().copied()).collect();
        if !given.iter().any(|(name, _)| *name == "Host") {
            text += &format!("Host: {}\r\n", self.host);
        }
        for (name, value) in given {
            text += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = body {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        text += "\r\n";
        text += body.unwrap_or_default();
        self.raw(text.as_bytes()).await;
    }

    /// Sends any bytes.
    pub async fn raw(&mut self, bytes: &[u8]) {
        // The server may have closed: what it has said before that is read afterwards.
        let _ = self.stream.get_mut().write_all(bytes).await;
    }

    /// The response to a request.
    pub async fn response(&mut self, method: &str) -> Response {
        let mut response = self.head().await.expect("the connection was closed");
        let is_chunked = response.header("transfer-encoding") == Some("chunked");
        let length = response
            .header("content-length")
            .map(|text| text.parse().unwrap());
        let has_none = method == "HEAD" || matches!(response.status, 204 | 304);
        match length {
            _ if has_none => {}
            _ if is_chunked => {
                while let Some(chunk) = self.chunk().await {
                    response.body.extend(chunk);
                }
            }
            length => {
                response.body = vec![0; length.unwrap_or(0)];
                let read = self.stream.read_exact(&mut response.body);
                tokio::time::timeout(PATIENCE, read)
                    .await
                    .expect("no body")
                    .unwrap();
            }
        }
        response
    }

    /// The status line and the headers of the next response.
    pub async fn head(&mut self) -> Option<Response> {
        let first = self.line().await?;
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Some(Response {
            status,
            headers,
            body: Vec::new(),
        })
    }

    /// The next chunk of a stream; `None` at its end.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = self.line().await?;
        let size = usize::from_str_radix(&size, 16).ok()?;
        let mut chunk = vec![0; size + 2];
        let read = self.stream.read_exact(&mut chunk);
        let read = tokio::time::timeout(PATIENCE, read)
            .await
            .expect("no chunk");
        read.ok()?;
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        match tokio::time::timeout(PATIENCE, read)
            .await
            .expect("nothing received")
        {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    /// Waits until the server closes.
    pub async fn closed(&mut self) {
        assert_eq!(self.line().await, None);
    }
}

/// A stream of events: each message, with its id and its kind.
pub struct Events {
    http: Http,
    rest: String,
}

/// A message of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub id: Option<String>,
    pub kind: String,
    pub data: Value,
}

impl Events {
    /// Begins a watch at this target.
    pub async fn open(addr: SocketAddr, target: &str, last_id: Option<&str>) -> Self {
        let opened = Self::try_open(addr, target, last_id).await;
        opened.expect("no stream has begun")
    }

    /// As [`Self::open`]; `None` if the node cannot serve it now.
    pub async fn try_open(addr: SocketAddr, target: &str, last_id: Option<&str>) -> Option<Self> {
        let mut http = Http::connect(addr).await;
        let mut headers = vec![("Accept", "text/event-stream")];
        headers.extend(last_id.map(|id| ("Last-Event-ID", id)));
        http.begin("GET", target, &headers, None).await;
        let head = http.head().await?;
        let is_stream = head.header("content-type") == Some("text/event-stream");
        (head.status == 200 && is_stream).then(|| Self {
            http,
            rest: String::new(),
        })
    }

    /// The next message; `None` at the end.
    pub async fn next(&mut self) -> Option<Message> {
        while !self.rest.contains("\n\n") {
            let chunk = self.http.chunk().await?;
            self.rest += std::str::from_utf8(&chunk).unwrap();
        }
        let (block, rest) = self.rest.split_once("\n\n").unwrap();
        let field = |name: &str| {
            let lines = block
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            lines.map(str::to_owned)
        };
        let message = Message {
            id: field("id"),
            kind: field("event").unwrap_or_else(|| "message".to_owned()),
            data: rstmdb_rcp::json::value(&field("data").unwrap()).unwrap(),
        };
        self.rest = rest.to_owned();
        Some(message)
    }
}
