//! Protocol Buffers' [wire format](https://protobuf.dev/programming-guides/encoding/), the subset
//! that Prometheus's messages use.

/// How the value of a field is encoded.
#[derive(Clone, Copy, Debug)]
enum WireType {
    Varint = 0,
    Fixed64 = 1,
    LengthDelimited = 2,
}

/// Appends a varint: 7 bits per byte, least significant group first. All bytes but the last
/// have the high bit set.
pub(super) fn push_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

fn push_tag(message: &mut Vec<u8>, field: u64, wire_type: WireType) {
    push_varint(message, field << 3 | wire_type as u64);
}

/// Appends a field of type `uint64`, `uint32`, `int64` or `bool`, or of an enumeration.
pub(super) fn push_uint(message: &mut Vec<u8>, field: u64, value: u64) {
    push_tag(message, field, WireType::Varint);
    push_varint(message, value);
}

/// Appends a field of type `sint32` or `sint64`. The zigzag encoding keeps small negative
/// numbers short.
pub(super) fn push_sint(message: &mut Vec<u8>, field: u64, value: i64) {
    push_tag(message, field, WireType::Varint);
    push_varint(message, (value << 1 ^ value >> 63).cast_unsigned());
}

/// Appends a field of type `double`.
pub(super) fn push_double(message: &mut Vec<u8>, field: u64, value: f64) {
    push_tag(message, field, WireType::Fixed64);
    message.extend_from_slice(&value.to_le_bytes());
}

/// Appends a field of type `string`.
pub(super) fn push_string(message: &mut Vec<u8>, field: u64, value: &str) {
    push_tag(message, field, WireType::LengthDelimited);
    push_varint(message, value.len() as u64);
    message.extend_from_slice(value.as_bytes());
}

/// Appends a field whose value is the message, or the packed field, that `write` appends.
pub(super) fn push_message(message: &mut Vec<u8>, field: u64, write: impl FnOnce(&mut Vec<u8>)) {
    push_tag(message, field, WireType::LengthDelimited);
    // The length comes first, and most messages are shorter than 128 bytes. So the length
    // gets one byte, and more are inserted if that is not enough.
    let at = message.len();
    message.push(0);
    write(message);
    let length = (message.len() - at - 1) as u64;
    if length < 0x80 {
        message[at] = length as u8;
    } else {
        let mut varint = Vec::with_capacity(10);
        push_varint(&mut varint, length);
        message.splice(at..=at, varint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(push: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut message = Vec::new();
        push(&mut message);
        message
    }

    #[test]
    fn the_examples_of_the_specification_are_encoded_alike() {
        assert_eq!(pushed(|to| push_uint(to, 1, 150)), [0x08, 0x96, 0x01]);
        assert_eq!(
            pushed(|to| push_string(to, 2, "testing")),
            [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]
        );
        assert_eq!(
            pushed(|to| push_message(to, 3, |to| push_uint(to, 1, 150))),
            [0x1a, 0x03, 0x08, 0x96, 0x01]
        );
        for (value, encoded) in [(0, 0_u8), (-1, 1), (1, 2), (-2, 3), (63, 126)] {
            assert_eq!(pushed(|to| push_sint(to, 1, value)), [0x08, encoded]);
        }
        let least = pushed(|to| push_sint(to, 1, i64::MIN));
        assert_eq!(least, pushed(|to| push_uint(to, 1, u64::MAX)));
    }

    #[test]
    fn a_long_message_has_a_long_length() {
        for length in [0, 1, 127, 128, 16_383, 16_384] {
            let text = "x".repeat(length);
            let nested = pushed(|to| {
                push_message(to, 1, |to| to.extend_from_slice(text.as_bytes()));
            });
            assert_eq!(nested, pushed(|to| push_string(to, 1, &text)));
        }
    }
}
