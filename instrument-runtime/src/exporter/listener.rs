//! The listening socket: TCP, Unix domain, or none.
//!
//! The builder binds the socket before it sets up anything else. So an `install` that
//! fails because the port is in use leaves nothing behind.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
#[cfg(unix)]
use std::path::PathBuf;
use std::pin::{Pin, pin};
#[cfg(unix)]
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

#[cfg(unix)]
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};

use crate::error::InitError;
#[cfg(unix)]
use crate::exporter::socket_file::{self, SocketFile};

/// Where to listen.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// The addresses of one host. The first address that can be bound is used.
    Tcp(Vec<SocketAddr>),
    #[cfg(unix)]
    Unix(PathBuf),
    None,
}

/// A bound, non-blocking socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(std::net::TcpListener),
    #[cfg(unix)]
    // Fields are dropped in order: the file is removed before the socket is closed.
    // The inode number of an open socket is not reused, so `SocketFile` cannot mistake
    // another process's file for its own.
    Unix(
        #[expect(dead_code, reason = "only its `Drop` is used")] SocketFile,
        std::os::unix::net::UnixListener,
    ),
    None,
}

impl Listener {
    pub(crate) fn bind(target: Target) -> Result<Self, InitError> {
        match target {
            Target::Tcp(addrs) => bind_tcp(&addrs).map(Self::Tcp),
            #[cfg(unix)]
            Target::Unix(path) => match socket_file::bind(&path) {
                Ok((file, listener)) => Ok(Self::Unix(file, listener)),
                Err(error) => Err(InitError::ListenUnix { path, error }),
            },
            Target::None => Ok(Self::None),
        }
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            _ => None,
        }
    }
}

fn bind_tcp(addrs: &[SocketAddr]) -> Result<std::net::TcpListener, InitError> {
    let mut first_error = None;
    for &addr in addrs {
        let bound = std::net::TcpListener::bind(addr)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        match bound {
            Ok(listener) => return Ok(listener),
            Err(error) => {
                first_error.get_or_insert(InitError::Listen { addr, error });
            }
        }
    }
    Err(first_error.unwrap_or_else(|| InitError::Listen {
        addr: SocketAddr::from(([0, 0, 0, 0], 0)),
        error: io::ErrorKind::AddrNotAvailable.into(),
    }))
}

/// The open sockets, shared by the exporter's thread and its handle.
///
/// A forked child inherits the descriptors but not the thread, so the handle must be
/// able to close them.
#[cfg(unix)]
#[derive(Clone, Debug)]
pub(crate) struct Sockets(Arc<Mutex<Open>>);

#[cfg(unix)]
#[derive(Debug)]
struct Open {
    listener: Listener,
    /// Duplicates of the listener's descriptor. Closing one lets a connection be
    /// accepted when the process has no descriptors left (`EMFILE`).
    reserves: Vec<OwnedFd>,
}

#[cfg(unix)]
impl Sockets {
    pub(crate) fn new(listener: Listener) -> Self {
        Self(Arc::new(Mutex::new(Open {
            listener,
            reserves: Vec::new(),
        })))
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut open = self.open();
        open.listener = Listener::None;
        open.reserves.clear();
    }

    /// Closes a forked child's copies of the descriptors. The parent keeps the port.
    pub(crate) fn close_in_child(&self) {
        // A thread of the parent may have held the lock during the fork. That thread
        // does not exist in the child, so the lock is never released: do not wait.
        if let Ok(mut open) = self.0.try_lock() {
            open.listener = Listener::None;
            open.reserves.clear();
        }
    }

    fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match &self.open().listener {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                let stream = tokio::net::TcpStream::from_std(stream)?;
                Ok((Stream::Tcp(stream), Some(peer.ip())))
            }
            Listener::Unix(_, listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                let stream = tokio::net::UnixStream::from_std(stream)?;
                Ok((Stream::Unix(stream), None))
            }
            Listener::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// The listener, registered with the exporter's runtime. Dropping it closes the
/// sockets.
#[cfg(unix)]
pub(crate) struct AsyncListener {
    // Fields are dropped in order: the descriptor is deregistered before it is closed.
    readiness: Option<AsyncFd<Descriptor>>,
    sockets: ClosedOnDrop,
}

#[cfg(unix)]
struct ClosedOnDrop(Sockets);

#[cfg(unix)]
impl Drop for ClosedOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The listener's raw descriptor, which [`Sockets`] owns.
#[cfg(unix)]
struct Descriptor(RawFd);

#[cfg(unix)]
impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

#[cfg(unix)]
impl AsyncListener {
    pub(crate) fn new(sockets: Sockets) -> io::Result<Self> {
        let descriptor = match &sockets.open().listener {
            Listener::Tcp(listener) => Some(listener.as_raw_fd()),
            Listener::Unix(_, listener) => Some(listener.as_raw_fd()),
            Listener::None => None,
        };
        let sockets = ClosedOnDrop(sockets);
        // The safe constructors of `AsyncFd` are deprecated because the descriptor must
        // stay open while it is registered (https://github.com/tokio-rs/tokio/pull/8587).
        // Here it stays open: by the field order above, it is closed only after it is
        // deregistered. A forked child closes its copy earlier, but never polls the
        // runtime.
        #[allow(
            deprecated,
            reason = "every other constructor is unsafe or also deprecated"
        )]
        let readiness = descriptor
            .map(|descriptor| AsyncFd::with_interest(Descriptor(descriptor), Interest::READABLE))
            .transpose()?;
        Ok(Self { readiness, sockets })
    }

    /// Adds one duplicate of the listener's descriptor to the reserves, unless there
    /// are `most` already.
    pub(crate) fn keep_reserves(&self, most: usize) {
        let mut open = self.sockets.0.open();
        if open.reserves.len() < most {
            let duplicate = match &open.listener {
                Listener::Tcp(listener) => listener.as_fd().try_clone_to_owned(),
                Listener::Unix(_, listener) => listener.as_fd().try_clone_to_owned(),
                Listener::None => return,
            };
            open.reserves.extend(duplicate);
        }
    }

    /// Closes one reserved descriptor. Returns `false` if there is none.
    pub(crate) fn give_up_reserve(&self) -> bool {
        self.sockets.0.open().reserves.pop().is_some()
    }

    /// Accepts the next connection. Returns it with the peer's address, which is `None`
    /// on a Unix socket.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        let Some(readiness) = &self.readiness else {
            return std::future::pending().await;
        };
        loop {
            let mut ready = readiness.readable().await?;
            // `try_io` clears the readiness only on `WouldBlock`. After another error
            // the listener stays ready, so the next call tries again at once.
            if let Ok(accepted) = ready.try_io(|_| self.sockets.0.accept()) {
                return accepted;
            }
        }
    }
}

/// Other platforms do not fork, so the listener is not shared with the handle.
#[cfg(not(unix))]
pub(crate) type Sockets = Listener;

#[cfg(not(unix))]
impl Listener {
    pub(crate) fn new(listener: Self) -> Self {
        listener
    }
}

#[cfg(not(unix))]
pub(crate) enum AsyncListener {
    Tcp(tokio::net::TcpListener),
    None,
}

#[cfg(not(unix))]
impl AsyncListener {
    pub(crate) fn new(listener: Listener) -> io::Result<Self> {
        Ok(match listener {
            Listener::Tcp(listener) => Self::Tcp(tokio::net::TcpListener::from_std(listener)?),
            Listener::None => Self::None,
        })
    }

    pub(crate) fn keep_reserves(&self, _most: usize) {}

    pub(crate) fn give_up_reserve(&self) -> bool {
        false
    }

    /// Accepts the next connection. Returns it with the peer's address.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Tcp(stream), Some(peer.ip())))
            }
            Self::None => std::future::pending().await,
        }
    }
}

/// An accepted connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(tokio::net::TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

impl Stream {
    /// Returns whether the peer has closed its side, as far as tokio's I/O driver has
    /// seen.
    pub(crate) fn is_read_closed(&self) -> bool {
        async fn ready(stream: &Stream) -> io::Result<Ready> {
            match stream {
                Stream::Tcp(stream) => stream.ready(Interest::READABLE).await,
                #[cfg(unix)]
                Stream::Unix(stream) => stream.ready(Interest::READABLE).await,
            }
        }
        let mut context = Context::from_waker(Waker::noop());
        matches!(
            pin!(ready(self)).poll(&mut context),
            Poll::Ready(Ok(ready)) if ready.is_read_closed()
        )
    }

    /// Returns and clears the socket's pending error (`SO_ERROR`).
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Tcp(stream) => stream.take_error(),
            #[cfg(unix)]
            Self::Unix(stream) => stream.take_error(),
        }
    }
}

/// Evaluates `$call` with `$stream` bound to the TCP or Unix stream inside `$self`.
macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            #[cfg(unix)]
            Stream::Unix($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write(cx, buf))
    }

    /// Lets hyper send the shared page without copying it into a buffer per connection.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_shutdown(cx))
    }
}
