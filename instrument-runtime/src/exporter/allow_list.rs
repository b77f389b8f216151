//! The allow list: which client addresses may use the endpoint.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::error::InitError;

/// The allowed address ranges. An empty list allows every address.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowList(Vec<IpNet>);

impl AllowList {
    /// Parses IP addresses and CIDR ranges, of IPv4 or IPv6.
    pub(crate) fn parse(ranges: &[String]) -> Result<Self, InitError> {
        ranges
            .iter()
            .map(|range| {
                let range = range.trim();
                range
                    .parse::<IpNet>()
                    .or_else(|_| range.parse::<IpAddr>().map(IpNet::from))
                    .map(canonical)
                    .map_err(|_| InitError::Allow {
                        value: range.to_owned(),
                    })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Returns whether `peer` may use the endpoint.
    ///
    /// `None` is a client on a Unix socket, which has no IP address. It is always
    /// allowed: the permissions of the socket's file decide who may connect.
    pub(crate) fn allows(&self, peer: Option<IpAddr>) -> bool {
        let Some(peer) = peer else { return true };
        let peer = peer.to_canonical();
        self.0.is_empty() || self.0.iter().any(|range| range.contains(&peer))
    }
}

/// Converts a range of IPv4-mapped IPv6 addresses to the IPv4 range.
///
/// A dual-stack IPv6 socket reports IPv4 peers as IPv4-mapped addresses, so
/// `::ffff:10.0.0.0/104` is treated as `10.0.0.0/8`.
fn canonical(range: IpNet) -> IpNet {
    if let IpNet::V6(v6) = range
        && let (Some(addr), Some(len)) = (
            v6.addr().to_ipv4_mapped(),
            v6.prefix_len().checked_sub(128 - 32),
        )
        && let Ok(v4) = IpNet::new(addr.into(), len)
    {
        return v4;
    }
    range
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(ranges: &[&str]) -> AllowList {
        let ranges: Vec<String> = ranges.iter().map(|range| (*range).to_owned()).collect();
        AllowList::parse(&ranges).expect("good ranges")
    }

    #[test]
    fn addresses_and_ranges_of_both_families() {
        let list = list(&[
            "10.0.0.0/8",
            "192.168.1.7",
            "fd00::/8",
            "::ffff:172.16.0.0/108",
        ]);
        for (peer, allowed) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("11.1.2.3", false),
            ("192.168.1.7", true),
            ("192.168.1.8", false),
            ("fd12::1", true),
            ("fe80::1", false),
            ("172.16.9.9", true),
        ] {
            assert_eq!(list.allows(peer.parse().ok()), allowed, "{peer}");
        }
        assert!(
            list.allows(None),
            "the permissions of the file protect a Unix socket"
        );
    }

    #[test]
    fn nothing_listed_allows_all() {
        assert!(AllowList::default().allows("203.0.113.9".parse().ok()));
    }

    #[test]
    fn a_bad_range_is_named() {
        for bad in ["10.0.0.0/33", "localhost", ""] {
            let error = AllowList::parse(&[bad.to_owned()]).expect_err(bad);
            assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
        }
    }
}
