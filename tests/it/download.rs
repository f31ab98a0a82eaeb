//! Downloads from a local server that misbehaves in every way that a real one does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tagcl::data::DataError;
use tagcl::data::fetch::{Check, FetchOptions, download};
use tagcl::data::watch::Silent;

use crate::program::{stderr, stdout, tagcl};

/// What the server does with one request.
#[derive(Clone, Debug)]
enum Answer {
    /// The file, or the range that was asked for.
    File(Vec<u8>),
    /// The whole file, whatever range was asked for.
    IgnoresRange(Vec<u8>),
    /// The right length is promised, this many bytes are sent from where it was asked, then the connection ends.
    Cut(Vec<u8>, usize),
    /// As `Cut`, but the connection stays open and nothing more comes.
    Stall(Vec<u8>, usize),
    /// A range of another part of the file.
    WrongRange,
    /// This status and nothing else.
    Status(u16),
    /// To this path.
    Redirect(&'static str),
    /// No length is given; the end of the connection is the end of the file.
    NoLength(Vec<u8>),
    /// A length that no one should believe.
    Huge,
    /// Agrees to be a tunnel and answers the request in it.
    Tunnel(Vec<u8>),
}

struct Server {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves one answer a connection, in this order, and the last one for ever.
    fn new(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let answer = answers[index.min(answers.len() - 1)].clone();
                let seen = Arc::clone(&seen);
                thread::spawn(move || serve(stream.unwrap(), &answer, &seen));
            }
        });
        Self { url, heads }
    }

    fn mirror(&self) -> String {
        format!("{}/file.bin", self.url)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// The ranges that were asked for; 0 without one.
    fn ranges(&self) -> Vec<usize> {
        self.heads().iter().map(|head| range_of(head)).collect()
    }
}

fn head_of(reader: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            break;
        }
    }
    head.to_lowercase()
}

fn range_of(head: &str) -> usize {
    let Some((_, rest)) = head.split_once("range: bytes=") else {
        return 0;
    };
    rest.split('-').next().unwrap().parse().unwrap()
}

fn serve(stream: TcpStream, answer: &Answer, seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut out = stream;
    let mut head = head_of(&mut reader);
    seen.lock().unwrap().push(head.clone());
    let mut say = |text: String, bytes: &[u8]| {
        let _ = out.write_all(text.as_bytes());
        let _ = out.write_all(bytes);
        let _ = out.flush();
    };
    let part = |file: &[u8], from: usize| {
        let status = if from == 0 {
            "200 OK"
        } else {
            "206 Partial Content"
        };
        let range = format!(
            "bytes {from}-{}/{}",
            file.len().saturating_sub(1),
            file.len()
        );
        format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: {range}\r\nConnection: close\r\n\r\n",
            file.len() - from
        )
    };
    match answer {
        Answer::Tunnel(file) => {
            say("HTTP/1.1 200 Connection established\r\n\r\n".to_owned(), b"");
            head = head_of(&mut reader);
            seen.lock().unwrap().push(head.clone());
            say(part(file, 0), file);
        }
        Answer::File(file) => {
            let from = range_of(&head);
            say(part(file, from), &file[from..]);
        }
        Answer::IgnoresRange(file) => say(part(file, 0), file),
        Answer::Cut(file, count) | Answer::Stall(file, count) => {
            let from = range_of(&head);
            let end = (from + count).min(file.len());
            say(part(file, from), &file[from..end]);
            if matches!(answer, Answer::Stall(..)) {
                thread::sleep(Duration::from_secs(20));
            }
        }
        Answer::WrongRange => say(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nContent-Range: bytes 1-3/9\r\nConnection: close\r\n\r\n".to_owned(),
            b"xyz",
        ),
        Answer::Status(code) => say(format!("HTTP/1.1 {code} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), b""),
        Answer::Redirect(to) => say(
            format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            b"",
        ),
        Answer::NoLength(file) => say("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned(), file),
        Answer::Huge => say("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\nConnection: close\r\n\r\n".to_owned(), b"x"),
    }
}

fn file() -> Vec<u8> {
    (0..300_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

fn check() -> Check {
    Check::Sha256(hex(&file()))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn options() -> FetchOptions<'static> {
    FetchOptions {
        connect: Duration::from_secs(5),
        read: Duration::from_secs(3),
        pause: Duration::from_millis(1),
        limit: 1 << 20,
        watch: &Silent,
    }
}

/// Downloads from the mirrors into a fresh folder; afterwards nothing but the right file may be there under its name.
fn fetch(mirrors: &[String], part: Option<&[u8]>) -> Result<(), DataError> {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.bin");
    if let Some(part) = part {
        std::fs::write(folder.path().join(".file.bin.part"), part).unwrap();
    }
    let done = download(mirrors, &target, &check(), &options());
    match &done {
        Ok(()) => {
            assert_eq!(std::fs::read(&target).unwrap(), file());
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        Err(_) => assert!(!target.exists()),
    }
    done
}

#[test]
fn a_file_is_downloaded_and_redirects_are_followed() {
    for answers in [
        vec![Answer::File(file())],
        vec![Answer::NoLength(file())],
        vec![
            Answer::Redirect("/elsewhere"),
            Answer::Redirect("/again"),
            Answer::File(file()),
        ],
    ] {
        let server = Server::new(answers);
        fetch(&[server.mirror()], None).unwrap();
    }
}

#[test]
fn a_cut_download_goes_on_where_it_was() {
    let cut = Answer::Cut(file(), 100_000);
    let server = Server::new(vec![cut.clone(), cut.clone(), cut]);
    fetch(&[server.mirror()], None).unwrap();
    assert_eq!(server.ranges(), [0, 100_000, 200_000]);
    // A part of an earlier attempt is used.
    let server = Server::new(vec![Answer::File(file())]);
    fetch(&[server.mirror()], Some(&file()[..1234])).unwrap();
    assert_eq!(server.ranges(), [1234]);
}

#[test]
fn a_stalled_server_is_tried_again() {
    let server = Server::new(vec![Answer::Stall(file(), 5000), Answer::File(file())]);
    let began = std::time::Instant::now();
    fetch(&[server.mirror()], None).unwrap();
    assert!(began.elapsed() < Duration::from_secs(18));
    assert_eq!(server.ranges(), [0, 5000]);
}

#[test]
fn servers_that_cannot_resume_begin_anew() {
    for refusal in [Answer::WrongRange, Answer::Status(416)] {
        let server = Server::new(vec![
            Answer::Cut(file(), 7000),
            refusal,
            Answer::File(file()),
        ]);
        fetch(&[server.mirror()], None).unwrap();
        assert_eq!(server.ranges(), [0, 7000, 0]);
    }
    let server = Server::new(vec![
        Answer::Cut(file(), 7000),
        Answer::IgnoresRange(file()),
    ]);
    fetch(&[server.mirror()], None).unwrap();
    assert_eq!(server.ranges(), [0, 7000]);
}

#[test]
fn wrong_bytes_are_thrown_away_and_the_next_mirror_is_used() {
    let mut wrong = file();
    wrong[17] ^= 1;
    let (bad, good) = (
        Server::new(vec![Answer::File(wrong.clone())]),
        Server::new(vec![Answer::File(file())]),
    );
    fetch(&[bad.mirror(), good.mirror()], None).unwrap();
    assert_eq!(bad.ranges(), [0]);
    let error = fetch(&[bad.mirror()], None).unwrap_err().to_string();
    assert!(
        error.contains("SHA-256") && error.contains("--from PATH"),
        "{error}"
    );
    // A part of other bytes is found out at the end, and the file is fetched once more from its start.
    let server = Server::new(vec![Answer::File(file())]);
    fetch(&[server.mirror()], Some(&wrong[..1000])).unwrap();
    assert_eq!(server.ranges(), [1000, 0]);
}

#[test]
fn every_mirrors_answer_is_in_the_error() {
    let gone = Server::new(vec![Answer::Status(404)]);
    let busy = Server::new(vec![Answer::Status(503)]);
    let huge = Server::new(vec![Answer::Huge]);
    let loops = Server::new(vec![Answer::Redirect("/file.bin")]);
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/file.bin", listener.local_addr().unwrap())
    };
    let mirrors = [
        gone.mirror(),
        busy.mirror(),
        huge.mirror(),
        loops.mirror(),
        closed,
    ];
    let error = fetch(&mirrors, None).unwrap_err();
    let DataError::Download { reasons, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(reasons.len(), 5, "{reasons:?}");
    for (reason, words) in reasons
        .iter()
        .zip(["404", "503", "bound is", "redirect", "onnect"])
    {
        assert!(reason.contains(words), "{reason}");
    }
    assert_eq!((gone.heads().len(), busy.heads().len()), (1, 3));
}

fn get(folder: &Path, more: &[&str]) -> std::process::Output {
    let mut command = tagcl();
    for variable in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command
            .env_remove(variable)
            .env_remove(variable.to_uppercase());
    }
    command
        .args(["data", "get", "mnist", "--data"])
        .arg(folder)
        .args(more);
    command.output().unwrap()
}

/// What is downloaded from an address of one's own is checked twice: its checksum, then its contents.
#[test]
fn the_program_takes_a_file_from_elsewhere_only_if_it_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = b"not an archive".to_vec();
    let server = Server::new(vec![Answer::File(bytes.clone())]);
    let url = format!("{}/mnist.tar.gz?download=1", server.url);
    let without = get(folder.path(), &["--from", &url]);
    assert!(
        !without.status.success() && stderr(&without).contains("--sha256"),
        "{}",
        stderr(&without)
    );
    let wrong = get(
        folder.path(),
        &["--from", &url, "--sha256", &"0".repeat(64)],
    );
    assert!(
        !wrong.status.success() && stderr(&wrong).contains("SHA-256"),
        "{}",
        stderr(&wrong)
    );
    let no_data = get(folder.path(), &["--from", &url, "--sha256", &hex(&bytes)]);
    assert_eq!(no_data.status.code(), Some(1));
    assert!(
        stderr(&no_data).contains("does not hold data set mnist"),
        "{}",
        stderr(&no_data)
    );
    assert!(stderr(&no_data).contains("licence: CC BY-SA 3.0"));
    let missing = get(folder.path(), &["--from", "/no/such/file"]);
    assert!(stderr(&missing).contains("/no/such/file") && stdout(&missing).is_empty());
}

#[test]
fn proxies_come_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = b"through the proxy".to_vec();
    let proxy = Server::new(vec![Answer::Tunnel(bytes.clone())]);
    let mut command = tagcl();
    for variable in [
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
    ] {
        command.env_remove(variable);
    }
    let output = command
        .env("http_proxy", &proxy.url)
        .env("HTTP_PROXY", &proxy.url)
        .args([
            "data",
            "get",
            "mnist",
            "--from",
            "http://data.invalid/x.tgz",
            "--sha256",
            &hex(&bytes),
            "--data",
        ])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(
        stderr(&output).contains("does not hold data set mnist"),
        "{}",
        stderr(&output)
    );
    assert!(
        proxy.heads()[0].contains("data.invalid"),
        "{:?}",
        proxy.heads()
    );
}
