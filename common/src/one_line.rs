//! The words of strangers in our own: an error that quotes what arrived is shown in logs and on
//! terminals, and must not write a line of its own there, or move the cursor.

use std::borrow::Cow;

/// The most bytes that are taken of a text.
const MOST: usize = 1024;

/// The text on one line: what a terminal or a log would not show as it is, is escaped, and what is
/// beyond 1024 bytes is left out. Quotes stay, for errors are full of them.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.len() <= MOST && !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut line = String::new();
    for character in text[..text.floor_char_boundary(MOST)].chars() {
        if is_hidden(character) {
            line.extend(character.escape_debug());
        } else {
            line.push(character);
        }
    }
    Cow::Owned(line)
}

/// Whether a character has another form when it is shown: control characters, line and paragraph
/// separators, and those that turn the direction of the text.
fn is_hidden(character: char) -> bool {
    !matches!(character, '"' | '\'' | '\\') && character.escape_debug().len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_can_be_shown_stays() {
        for text in ["", "unknown field `b`, expected \"a\"", "C:\\it's é 漢"] {
            assert!(matches!(one_line(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn lines_colours_and_directions_are_escaped() {
        assert_eq!(one_line("a\nERROR b"), "a\\nERROR b");
        assert_eq!(one_line("\u{1b}[31m\0"), "\\u{1b}[31m\\0");
        assert_eq!(one_line("a\u{202e}b\u{2028}"), "a\\u{202e}b\\u{2028}");
        assert_eq!(one_line(&"é".repeat(1000)).len(), 1024);
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left(text: String) {
            let line = one_line(&text);
            prop_assert!(!line.chars().any(char::is_control), "{line:?}");
        }
    }
}
