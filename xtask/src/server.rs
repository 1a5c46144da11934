//! A small web server for this machine only: files of a few folders, ranges, and the headers that let a page prove it
//! talks to nobody else.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What a page served here may do: the same as in the `meta` element of index.html, and a worker obeys only this one.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; \
     style-src 'self'; connect-src 'self'; img-src 'self' data:; manifest-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// Bytes of a request's head that are read before it is refused.
const HEAD_BYTES: u64 = 16 << 10;

/// Folders by the path they are served under; the first whose path fits is taken.
pub(crate) struct Server {
    listener: TcpListener,
    folders: Arc<Vec<(String, PathBuf)>>,
}

impl Server {
    /// Listens on loopback; port 0 takes any free one.
    pub(crate) fn bind(port: u16, folders: Vec<(String, PathBuf)>) -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|e| {
            format!("port {port} of this machine cannot be used ({e}); choose another by --port")
        })?;
        Ok(Self { listener, folders: Arc::new(folders) })
    }

    /// Where the page is.
    pub(crate) fn address(&self) -> String {
        let port = self.listener.local_addr().map_or(0, |address| address.port());
        format!("http://127.0.0.1:{port}/")
    }

    /// Answers until the program is stopped.
    pub(crate) fn run(&self) {
        for stream in self.listener.incoming().flatten() {
            let folders = self.folders.clone();
            // A browser that goes away in the middle is no error of ours.
            std::thread::spawn(move || drop(answer(stream, &folders)));
        }
    }
}

fn answer(mut stream: TcpStream, folders: &[(String, PathBuf)]) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(stream.try_clone()?.take(HEAD_BYTES)).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let headers: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let header = |name: &str| {
        let parts = headers.iter().filter_map(|line| line.split_once(':'));
        parts.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    // A page of elsewhere may have its name lead here; this server answers to its own names only.
    let host = header("host").unwrap_or_default().rsplit_once(':').map_or("", |(host, _)| host);
    if !["127.0.0.1", "localhost"].contains(&host) {
        return refuse(&mut stream, "403 Forbidden");
    }
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !["GET", "HEAD"].contains(&method) {
        return refuse(&mut stream, "405 Method Not Allowed");
    }
    let Some(path) = resolve(target, folders) else { return refuse(&mut stream, "404 Not Found") };
    let Ok(mut file) = File::open(&path) else { return refuse(&mut stream, "404 Not Found") };
    let size = file.metadata()?.len();
    let range = header("range").map(|range| range_of(range, size));
    let (status, first, length) = match range {
        None => ("200 OK", 0, size),
        Some(Some((first, last))) => ("206 Partial Content", first, last - first + 1),
        Some(None) => return refuse(&mut stream, "416 Range Not Satisfiable"),
    };
    let kind = content_type(&path);
    let mut head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nAccept-Ranges: bytes\r\n\
         Content-Security-Policy: {POLICY}\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\nCache-Control: no-cache\r\nConnection: close\r\n"
    );
    if status.starts_with("206") {
        head += &format!("Content-Range: bytes {first}-{}/{size}\r\n", first + length - 1);
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if method == "GET" {
        file.seek(SeekFrom::Start(first))?;
        io::copy(&mut file.take(length), &mut stream)?;
    }
    Ok(())
}

fn refuse(stream: &mut TcpStream, status: &str) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())
}

/// The file a request means, if it lies in one of the folders.
fn resolve(target: &str, folders: &[(String, PathBuf)]) -> Option<PathBuf> {
    let path = decode(target.split(['?', '#']).next()?)?;
    let (prefix, folder) = folders.iter().find(|(prefix, _)| path.starts_with(prefix))?;
    let mut inside = PathBuf::new();
    for part in path[prefix.len()..].split('/').filter(|part| !part.is_empty()) {
        // Names of files and folders only: nothing that leads out, or means something to a file system.
        if part.starts_with('.') || part.contains(['\\', ':', '\0']) {
            return None;
        }
        inside.push(part);
    }
    let path = folder.join(inside);
    Some(if path.is_dir() { path.join("index.html") } else { path })
}

fn decode(path: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), path.bytes());
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// First and last byte of a range such as `bytes=10-`, `bytes=10-19` or `bytes=-5` of a file of `size` bytes.
fn range_of(range: &str, size: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = match (first.parse().ok(), last.parse::<u64>().ok()) {
        (Some(first), Some(last)) => (first, last.min(size.checked_sub(1)?)),
        (Some(first), None) if last.is_empty() => (first, size.checked_sub(1)?),
        (None, Some(count)) if first.is_empty() => (size.saturating_sub(count), size.checked_sub(1)?),
        _ => return None,
    };
    (first <= last).then_some((first, last))
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_http() {
        assert_eq!(range_of("bytes=10-", 100), Some((10, 99)));
        assert_eq!(range_of("bytes=10-19", 100), Some((10, 19)));
        assert_eq!(range_of("bytes=90-200", 100), Some((90, 99)));
        assert_eq!(range_of("bytes=-5", 100), Some((95, 99)));
        for wrong in ["bytes=100-", "bytes=20-10", "bytes=-", "bytes=a-b", "10-20", "bytes=0-0"] {
            let size = if wrong == "bytes=0-0" { 0 } else { 100 };
            assert_eq!(range_of(wrong, size), None, "{wrong}");
        }
    }

    #[test]
    fn no_path_leads_out_of_its_folder() {
        let folders = [("/bundle/".to_owned(), "/b".into()), ("/".to_owned(), "/page".into())];
        let resolved = |target: &str| resolve(target, &folders);
        assert_eq!(resolved("/bundle/shard%2D0.bin?x=1"), Some("/b/shard-0.bin".into()));
        assert_eq!(resolved("/worker.js"), Some("/page/worker.js".into()));
        for out in ["/../secret", "/bundle/%2e%2e/secret", "/.git/config", "/a%00b", "/c%3A/x", "/%zz", "no"]
        {
            assert_eq!(resolved(out), None, "{out}");
        }
    }

    /// What a server answers to `head`; `name` is that of the test.
    fn ask(name: &str, head: &str) -> String {
        let folder = std::env::temp_dir().join(format!("clinlora-xtask-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        std::fs::write(folder.join("worker.js"), "0123456789").expect("a file for the test");
        let server = Server::bind(0, vec![("/".to_owned(), folder)]).expect("a free port");
        let address = server.listener.local_addr().expect("it listens");
        std::thread::spawn(move || server.run());
        let mut stream = TcpStream::connect(address).expect("it answers");
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it closes");
        answer
    }

    #[test]
    fn a_part_of_a_file_comes_with_the_policy() {
        let answer = ask("part", "GET /worker.js HTTP/1.1\r\nHost: 127.0.0.1:1\r\nRange: bytes=3-\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 206 "), "{answer}");
        assert!(
            answer.contains("Content-Range: bytes 3-9/10\r\n") && answer.ends_with("\r\n\r\n3456789"),
            "{answer}"
        );
        assert!(answer.contains("connect-src 'self'") && answer.contains("text/javascript"), "{answer}");
    }

    #[test]
    fn another_name_for_this_machine_is_refused() {
        let answer = ask("name", "GET /worker.js HTTP/1.1\r\nHost: elsewhere.example:80\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        let answer = ask("name", "POST /worker.js HTTP/1.1\r\nHost: localhost:80\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    }
}
