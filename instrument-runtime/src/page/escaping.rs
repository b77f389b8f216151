//! Writes the names of a page in the escaping scheme `dots`, which writes `_dot_` for a dot
//! and `__` for an underscore.
//!
//! Names on the page contain no dots: the recorders replace every character that
//! Prometheus's classic names do not allow with `_`. So this scheme only doubles
//! underscores here, and the schemes other than `dots` do not change the page.

/// Returns the page with the names of metrics and labels escaped.
pub(super) fn dots(page: &str) -> String {
    let mut escaped = String::with_capacity(page.len() + page.len() / 4);
    for line in page.split_inclusive('\n') {
        match line.strip_prefix("# ") {
            // `# HELP name text`
            Some(comment) => {
                let (what, rest) = comment.split_once(' ').unwrap_or((comment, ""));
                let end = rest.find([' ', '\n']).unwrap_or(rest.len());
                escaped.push_str("# ");
                escaped.push_str(what);
                escaped.push(' ');
                push_name(&mut escaped, &rest[..end]);
                escaped.push_str(&rest[end..]);
            }
            None => push_sample(&mut escaped, line),
        }
    }
    escaped
}

/// Appends a sample line, such as `name{label="value",…} 1`, with its names escaped.
fn push_sample(escaped: &mut String, line: &str) {
    let end = line.find(['{', ' ']).unwrap_or(line.len());
    push_name(escaped, &line[..end]);
    let mut rest = &line[end..];
    while let Some(after) = rest.strip_prefix(['{', ',']) {
        escaped.push_str(&rest[..1]);
        let Some(equals) = after.find('=') else {
            rest = after;
            break;
        };
        push_name(escaped, &after[..equals]);
        let value = &after[equals..];
        let end = end_of_value(value);
        escaped.push_str(&value[..end]);
        rest = &value[end..];
    }
    escaped.push_str(rest);
}

/// Returns the length of `="value"`.
fn end_of_value(value: &str) -> usize {
    let mut is_escaped = false;
    for (index, byte) in value.bytes().enumerate().skip(2) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    value.len()
}

fn push_name(escaped: &mut String, name: &str) {
    for sign in name.chars() {
        escaped.push(sign);
        if sign == '_' {
            escaped.push('_');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::dots;

    #[test]
    fn only_names_are_escaped() {
        let page = "# HELP a_b a_b c_d\n\
                    # TYPE a_b counter\n\
                    a_b 1\n\
                    a_b{c_d=\"x_y\",e=\"\\\"},f_g=\\\"\"} 1_0\n";
        assert_eq!(
            dots(page),
            "# HELP a__b a_b c_d\n\
             # TYPE a__b counter\n\
             a__b 1\n\
             a__b{c__d=\"x_y\",e=\"\\\"},f_g=\\\"\"} 1_0\n"
        );
        for odd in ["", "\n", "{", "a{b", "a{b=", "a{b=\"", "# ", "#", "# X"] {
            dots(odd);
        }
    }
}
