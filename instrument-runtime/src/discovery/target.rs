//! One target in the format of Prometheus's file-based service discovery.

use std::fmt::Write;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::error::InitError;

/// Checks that `advertise` is a `host:port` that Prometheus can scrape.
pub(crate) fn check(advertise: &str) -> Result<(), InitError> {
    let refuse = |problem: &'static str| {
        Err(InitError::Advertise {
            value: advertise.to_owned(),
            problem: problem.to_owned(),
        })
    };
    if advertise.contains('/') {
        return refuse("contains a `/`: give `host:port`, without `http://` and without a path");
    }
    let Some((host, port)) = advertise.rsplit_once(':') else {
        return refuse("has no port: give `host:port`");
    };
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return refuse("has no valid port: give a number from 1 to 65535 after the `:`");
    }
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = match bracketed {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
        None if host.contains(':') => {
            return refuse("needs its IPv6 address in brackets: `[::1]:9464`");
        }
        None => {
            !host.is_empty()
                && host
                    .chars()
                    .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
        }
    };
    if is_host {
        Ok(())
    } else {
        refuse("has no valid host name or IP address before the port: give `host:port`")
    }
}

/// Returns the listener's address, if other hosts can use it to reach this instance.
///
/// # Errors
///
/// Returns an error if the listener is bound to the unspecified address (`0.0.0.0` or
/// `::`), or if there is no TCP listener.
pub(crate) fn of_listener(
    local_addr: Option<SocketAddr>,
    folder: &Path,
) -> Result<String, InitError> {
    match local_addr {
        Some(addr) if !addr.ip().is_unspecified() => Ok(addr.to_string()),
        _ => Err(InitError::NotAdvertised {
            folder: folder.to_owned(),
            local_addr,
        }),
    }
}

/// Returns the contents of a target file: a list of one target group.
pub(crate) fn json(address: &str, app_name: &str, version: Option<&str>) -> String {
    let mut labels = vec![("app_name", app_name), ("instance", address)];
    labels.extend(version.map(|version| ("version", version)));
    let process = std::process::id().to_string();
    // The process id is a `__meta_` label: it is visible to relabelling and on
    // Prometheus's page `/targets`, but is not a label of the series. As a series
    // label, it would create new series at each restart, and Prometheus could not
    // detect counter resets.
    labels.push(("__meta_pid", &process));
    let mut json = String::from("[{\"targets\": [");
    write_string(&mut json, address);
    json.push_str("], \"labels\": {");
    for (index, (name, value)) in labels.into_iter().enumerate() {
        if index > 0 {
            json.push_str(", ");
        }
        write_string(&mut json, name);
        json.push_str(": ");
        write_string(&mut json, value);
    }
    json.push_str("}}]\n");
    json
}

fn write_string(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c.is_control() => {
                // Control characters are below U+FFFF, so four digits suffice. Writing to
                // a string does not fail.
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for fine in ["10.0.0.7:9464", "web-1.local:80", "[::1]:9464", "web_1:1"] {
            assert!(check(fine).is_ok(), "{fine}");
        }
        for (wrong, why) in [
            ("", "no port"),
            ("web", "no port"),
            ("web:", "has no valid port"),
            ("web:0", "has no valid port"),
            ("web:65536", "has no valid port"),
            (":9464", "no valid host"),
            ("a b:1", "no valid host"),
            ("[web]:1", "no valid host"),
            ("::1:9464", "brackets"),
            ("http://web:9464", "without `http://`"),
            ("web:9464/metrics", "`/`"),
        ] {
            let message = check(wrong).expect_err(wrong).to_string();
            assert!(message.contains(why), "{wrong}: {message}");
            assert!(message.contains(&format!("{wrong:?}")), "{message}");
        }
    }

    #[test]
    fn the_listener_stands_in_where_others_reach_it() {
        let folder = Path::new("targets");
        let of = |addr: &str| of_listener(Some(addr.parse().expect("an address")), folder);
        assert_eq!(of("127.0.0.1:9464").expect("an address"), "127.0.0.1:9464");
        assert_eq!(of("[::1]:9464").expect("an address"), "[::1]:9464");
        for everywhere in ["0.0.0.0:9464", "[::]:9464"] {
            let message = of(everywhere).expect_err("refused").to_string();
            assert!(message.contains(everywhere), "{message}");
            assert!(message.contains("targets"), "{message}");
        }
        assert!(of_listener(None, folder).is_err());
    }

    #[test]
    fn odd_names_stay_json() {
        assert_eq!(
            json("web:1", "a\"b\\c\n\u{7f}é", Some("1.0")),
            format!(
                "[{{\"targets\": [\"web:1\"], \"labels\": {{\
                 \"app_name\": \"a\\\"b\\\\c\\u000a\\u007fé\", \"instance\": \"web:1\", \
                 \"version\": \"1.0\", \"__meta_pid\": \"{}\"}}}}]\n",
                std::process::id()
            )
        );
        assert!(!json("web:1", "web", None).contains("version"));
    }
}
