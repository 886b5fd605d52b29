//! Addresses to listen on, as people write them.

use std::net::{Ipv4Addr, SocketAddr};

use crate::AdminError;

/// Reads `9464`, `:9464`, `127.0.0.1:9464`, `0.0.0.0:9464` or `[::1]:9464`. A port alone means the
/// loopback: metrics are shown to other machines only where an address says so.
///
/// # Errors
/// [`AdminError::Listen`] if the text is none of these.
pub fn parse_listen(text: &str) -> Result<SocketAddr, AdminError> {
    let text = text.trim();
    let port = text.strip_prefix(':').unwrap_or(text);
    // `parse` would take a sign.
    if port.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(port) = port.parse()
    {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse().map_err(|_| AdminError::Listen { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_the_loopback() {
        for (text, address) in [
            ("9464", "127.0.0.1:9464"),
            (":9464", "127.0.0.1:9464"),
            (" 0 ", "127.0.0.1:0"),
            ("127.0.0.1:9464", "127.0.0.1:9464"),
            ("0.0.0.0:9464", "0.0.0.0:9464"),
            ("[::1]:9464", "[::1]:9464"),
        ] {
            assert_eq!(parse_listen(text).expect("an address").to_string(), address);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", ":", "65536", "+80", ":-1", "::9464", "localhost:9464", "127.0.0.1", "x"] {
            let error = parse_listen(text).expect_err(text).to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
