//! The OpenTelemetry environment variables that set the address of the page and the known
//! HTTP methods.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::error::InitError;

const HOST: &str = "OTEL_EXPORTER_PROMETHEUS_HOST";
const PORT: &str = "OTEL_EXPORTER_PROMETHEUS_PORT";
/// The HTTP methods that the label `method` may have, separated by commas.
pub(super) const KNOWN_METHODS: &str = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS";
const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 9464;

/// Reads a variable. `None` if it is not set, or empty.
pub(super) fn read(variable: &'static str) -> Result<Option<String>, InitError> {
    match std::env::var(variable) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(value)) => Err(InitError::Environment {
            variable,
            value: value.to_string_lossy().into_owned(),
            problem: "is not valid UTF-8; set a UTF-8 value, or unset the variable".to_owned(),
        }),
    }
}

/// Returns the addresses of the host that `OTEL_EXPORTER_PROMETHEUS_HOST` names, with the
/// port from `OTEL_EXPORTER_PROMETHEUS_PORT`. An empty variable counts as unset. The
/// listener uses the first address that can be bound.
pub(super) fn listen_addrs() -> Result<Vec<SocketAddr>, InitError> {
    let port = match read(PORT)? {
        None => DEFAULT_PORT,
        Some(value) => value.parse().map_err(|_| InitError::Environment {
            variable: PORT,
            value,
            problem: "is not a port; set a number from 0 to 65535".to_owned(),
        })?,
    };
    let host = read(HOST)?.unwrap_or_else(|| DEFAULT_HOST.to_owned());
    let unresolved = |why: String| InitError::Environment {
        variable: HOST,
        value: host.clone(),
        problem: format!("is not an address to listen on: {why}; set an IP address or a host name"),
    };
    // `ToSocketAddrs` does not accept the brackets that an IPv6 address has in a URL.
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(&host);
    let addrs: Vec<SocketAddr> = (bare, port)
        .to_socket_addrs()
        .map_err(|error| unresolved(error.to_string()))?
        .collect();
    if addrs.is_empty() {
        return Err(unresolved("the host name has no address".to_owned()));
    }
    Ok(addrs)
}
