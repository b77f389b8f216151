//! Writes names in the escaping scheme `dots`, which writes `_dot_` for a dot and `__` for an
//! underscore.
//!
//! Names on the page contain no dots: the recorders replace every character that
//! Prometheus's classic names do not allow with `_`. So this scheme only doubles
//! underscores here, and the schemes other than `dots` do not change the page.

use crate::recorder::label_text;

/// Appends the name of a metric or a label, escaped if `dots` is set.
pub(super) fn push_name(escaped: &mut String, name: &str, dots: bool) {
    for sign in name.chars() {
        escaped.push(sign);
        if sign == '_' && dots {
            escaped.push('_');
        }
    }
}

/// Appends labels with their names escaped.
pub(super) fn push_labels(escaped: &mut String, labels: &str) {
    for (name, value) in label_text::pairs(labels) {
        if !escaped.is_empty() {
            escaped.push(',');
        }
        push_name(escaped, name, true);
        escaped.push_str("=\"");
        escaped.push_str(value);
        escaped.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_escaped() {
        let mut labels = String::new();
        push_labels(&mut labels, "c_d=\"x_y\",e=\"\\\"},f_g=\\\"\"");
        assert_eq!(labels, "c__d=\"x_y\",e=\"\\\"},f_g=\\\"\"");
        let mut name = String::new();
        push_name(&mut name, "a_b", true);
        push_name(&mut name, "_c", false);
        assert_eq!(name, "a__b_c");
    }
}
