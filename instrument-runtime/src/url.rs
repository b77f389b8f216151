//! URLs in messages.

/// Returns the URL without the user name and the password. It need not be a valid URL.
pub(crate) fn without_password(url: &str) -> String {
    let begin = url.find("://").map_or(0, |scheme| scheme + 3);
    let (scheme, rest) = url.split_at(begin);
    // Everything before the last `@` is hidden. That includes a password with an
    // unencoded `/`, although such a URL is invalid.
    match rest.rsplit_once('@') {
        Some((_, address)) => format!("{scheme}…@{address}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        for (url, shown) in [
            ("http://push:9091/a", "http://push:9091/a"),
            ("http://me:secret@push:9091/a", "http://…@push:9091/a"),
            ("https://me:sec/ret@push", "https://…@push"),
            ("me:secret@push", "…@push"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
