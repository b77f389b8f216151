//! Where the page is served: bound before anything else is set up, so that a
//! taken port changes nothing.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
#[cfg(unix)]
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};

use crate::error::InitError;
#[cfg(unix)]
use crate::exporter::socket_file::{self, SocketFile};

#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// The addresses of one host; the first that can be bound is taken.
    Tcp(Vec<SocketAddr>),
    #[cfg(unix)]
    Unix(PathBuf),
    None,
}

#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(std::net::TcpListener),
    #[cfg(unix)]
    // The file goes first: while the socket is open, no other file can have its
    // inode.
    Unix(SocketFile, std::os::unix::net::UnixListener),
    None,
}

impl Listener {
    pub(crate) fn bind(target: Target) -> Result<Self, InitError> {
        match target {
            Target::Tcp(addrs) => bind_tcp(&addrs).map(Self::Tcp),
            #[cfg(unix)]
            Target::Unix(path) => match socket_file::bind(&path) {
                Ok((file, listener)) => Ok(Self::Unix(file, listener)),
                Err(source) => Err(InitError::ListenUnix { path, source }),
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
            Err(source) => {
                first_error.get_or_insert(InitError::Listen { addr, source });
            }
        }
    }
    Err(first_error.unwrap_or_else(|| InitError::Listen {
        addr: SocketAddr::from(([0, 0, 0, 0], 0)),
        source: io::ErrorKind::AddrNotAvailable.into(),
    }))
}

/// The same within the exporter's runtime.
pub(crate) enum AsyncListener {
    Tcp(tokio::net::TcpListener),
    #[cfg(unix)]
    Unix(#[expect(dead_code)] SocketFile, tokio::net::UnixListener),
    None,
}

impl AsyncListener {
    pub(crate) fn new(listener: Listener) -> io::Result<Self> {
        Ok(match listener {
            Listener::Tcp(listener) => Self::Tcp(tokio::net::TcpListener::from_std(listener)?),
            #[cfg(unix)]
            Listener::Unix(file, listener) => {
                Self::Unix(file, tokio::net::UnixListener::from_std(listener)?)
            }
            Listener::None => Self::None,
        })
    }

    /// A second descriptor of the same socket.
    pub(crate) fn duplicate(&self) -> io::Result<Reserve> {
        #[cfg(unix)]
        {
            use std::os::fd::AsFd;
            let socket = match self {
                Self::Tcp(listener) => listener.as_fd(),
                Self::Unix(_, listener) => listener.as_fd(),
                Self::None => return Err(io::ErrorKind::Unsupported.into()),
            };
            socket.try_clone_to_owned().map(Reserve)
        }
        #[cfg(not(unix))]
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The next connection and, over TCP, who opened it.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Tcp(stream), Some(peer.ip())))
            }
            #[cfg(unix)]
            Self::Unix(_, listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), None))
            }
            Self::None => std::future::pending().await,
        }
    }
}

/// A descriptor that is kept to be given up, so that one connection at least
/// can be accepted when the process has none left.
#[cfg(unix)]
pub(crate) struct Reserve(#[expect(dead_code)] std::os::fd::OwnedFd);
#[cfg(not(unix))]
pub(crate) struct Reserve;

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(tokio::net::TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

impl Stream {
    /// Whether the peer has closed its side, as far as the runtime knows.
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

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Tcp(stream) => stream.take_error(),
            #[cfg(unix)]
            Self::Unix(stream) => stream.take_error(),
        }
    }
}

/// One body for whichever transport it is.
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

    /// With it the server sends a page from where it is, and copies it for no
    /// connection.
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
