//! Measures servers over loopback: requests per second, and CPU time per request.
//!
//! Each server is a process with one worker thread. This process is the client, with one
//! thread. In each of `--rounds` rounds, the servers take turns. In its turn, a server gets
//! `--requests` requests over `--connections` connections, which stay open for the turn.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::args::Args;
use crate::child::{self, Child};
use crate::proc::cpu_nanos;
use crate::stats::Samples;
use crate::table::{Table, digits};

const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A server that answers `GET /hello`, with one kind of metrics.
#[derive(Debug)]
pub struct Server<S> {
    /// The name in the table.
    pub name: &'static str,
    /// The samples of the page that count each request once. Empty if there are no metrics.
    pub counters: &'static [&'static str],
    /// What starts the server.
    pub start: S,
}

/// Renders the page of a server.
pub type Page = Box<dyn Fn() -> String>;

/// Measures `servers` and prints the table. The first server is the baseline.
///
/// In a child process, starts one server instead: `serve` returns its port and its page. The
/// child prints the port, and then answers each line of standard input with the value of each of
/// the server's counters.
///
/// # Errors
///
/// Returns an error if a server does not answer, or if it has not counted each request once.
pub fn run<S>(servers: &[Server<S>], serve: impl FnOnce(&S) -> Result<(u16, Page)>) -> Result<()> {
    let args = Args::of_process(&["--rounds", "--requests", "--connections", "--child"])?;
    if args.has("--child") {
        let name = args.word("--child", 0);
        let server = servers.iter().find(|server| Some(server.name) == name);
        let server = server.context("there is no server of that name")?;
        let (port, page) = serve(&server.start)?;
        println!("{port}");
        return child::answer(|_| {
            let page = page();
            let counters = server.counters.iter();
            let counts: Result<Vec<String>> = counters
                .map(|counter| Ok(sum(&page, &format!("{counter}{{"))?.to_string()))
                .collect();
            Ok(counts?.join(" "))
        });
    }
    let rounds: usize = args.value("--rounds", 24)?;
    let connections: usize = args.value("--connections", 16)?;
    let requests: usize = args.value("--requests", 20_000)?;
    ensure!(
        connections > 0 && requests >= connections,
        "--requests must be at least --connections, and --connections at least 1"
    );
    let requests = requests / connections * connections;

    let mut children = Vec::new();
    for server in servers {
        let mut child = Child::start(&["--child", server.name])?;
        let port: u16 = child.hear()?.parse()?;
        children.push((child, port));
    }
    let mut rates = vec![Samples::default(); servers.len()];
    let mut micros = rates.clone();
    let client = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Round 0 is the warm-up.
    for round in 0..=rounds {
        for n in 0..servers.len() {
            // Rotate the order, so that each server takes each place equally often.
            let n = (n + round) % servers.len();
            let (child, port) = &children[n];
            let (seconds, cpu) = client.block_on(turn(child.id(), *port, connections, requests))?;
            if round > 0 {
                rates[n].push(requests as f64 / seconds);
                micros[n].push(cpu as f64 / 1e3 / requests as f64);
            }
        }
    }
    for (server, (child, _)) in servers.iter().zip(&mut children) {
        let counted = child.ask("how many?")?;
        let sent = vec![(requests * (rounds + 1)).to_string(); server.counters.len()].join(" ");
        ensure!(
            counted == sent,
            "{} counted {counted:?} requests in {:?}, and not {sent:?}",
            server.name,
            server.counters
        );
    }

    println!(
        "{requests} requests per turn over {connections} connections, \
         medians of {rounds} interleaved rounds.\n"
    );
    let mut table = Table::new(&[
        "server",
        "requests/s",
        "ratio to plain",
        "CPU per request, µs",
        "over plain, µs",
        "quartiles",
    ]);
    for (n, server) in servers.iter().enumerate() {
        let over = micros[n].over(&micros[0]);
        let (low, high) = over.quartiles();
        table.row(vec![
            server.name.to_owned(),
            format!("{:.0}", rates[n].median()),
            format!("{:.3}", rates[n].ratio_to(&rates[0])),
            digits(micros[n].median()),
            digits(over.median()),
            format!("{} to {}", digits(low), digits(high)),
        ]);
    }
    print!("{table}");
    Ok(())
}

/// Sends one turn's requests, and returns the elapsed seconds and the server's CPU time in
/// nanoseconds.
async fn turn(server: u32, port: u16, connections: usize, requests: usize) -> Result<(f64, u64)> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let cpu = cpu_nanos(server)?;
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for stream in streams {
        clients.spawn(ask(stream, requests / connections));
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok((start.elapsed().as_secs_f64(), cpu_nanos(server)? - cpu))
}

/// Sends requests over one connection, each after the response to the previous one.
///
/// All responses have the same length, so the client parses almost nothing. The bottleneck
/// is therefore the server and not the client.
async fn ask(mut stream: TcpStream, requests: usize) -> Result<()> {
    let mut answer = [0; 1024];
    let mut length = None;
    for _ in 0..requests {
        stream.write_all(REQUEST).await?;
        let mut read = 0;
        loop {
            let more = stream.read(&mut answer[read..]).await?;
            ensure!(
                more > 0,
                "the server closed the connection, or its response is too long"
            );
            read += more;
            if length.is_none() {
                length = length_of(&answer[..read])?;
            }
            if length.is_some_and(|length| read >= length) {
                break;
            }
        }
        ensure!(
            Some(read) == length,
            "the length of the response has changed"
        );
        ensure!(
            answer.starts_with(b"HTTP/1.1 200 "),
            "the status of the response is not 200"
        );
    }
    Ok(())
}

/// Returns the length of head and body together, once the head is complete.
fn length_of(answer: &[u8]) -> Result<Option<usize>> {
    let answer = str::from_utf8(answer)?;
    let Some(head) = answer.find("\r\n\r\n") else {
        return Ok(None);
    };
    let body = answer[..head]
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .context("the response has no content-length")?;
    Ok(Some(head + 4 + body.parse::<usize>()?))
}

/// Returns the sum of the series whose lines begin with `start`.
fn sum(page: &str, start: &str) -> Result<u64> {
    let mut sum = 0;
    for line in page.lines().filter(|line| line.starts_with(start)) {
        let value = line.rsplit(' ').next().context("no value")?;
        sum += value.parse::<u64>()?;
    }
    Ok(sum)
}
