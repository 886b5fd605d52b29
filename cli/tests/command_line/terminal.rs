//! What a person sees: a reply on a terminal is shown, and commands it to do nothing.

use std::fs::File;
use std::io::Read as _;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use crate::brokers::mock;
use crate::topics::Topics;

/// Clears the screen, by either way to write it, and rings a bell; and two lines, which may stay.
const REPLY: &str = "first\n\u{1b}[2Jsecond\u{9b}2J\u{7}";

#[test]
fn a_reply_commands_a_terminal_to_do_nothing() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--echo"]);
    let shown = |arguments: &[&str]| {
        // Programs that other tests start must not inherit it: it would stay open while they run.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let near = openpt(flags).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let far = ioctl_tiocgptpeer(&near, flags).unwrap();
        let call = topics.call(arguments).input(REPLY.as_bytes()).on(File::from(far));
        assert_eq!(call.wait().code, Some(0));
        text(near.into())
    };
    assert_eq!(shown(&["-"]), "first\r\n\\u{1b}[2Jsecond\\u{9b}2J\\u{7}\r\n");
    assert!(!shown(&["-", "--json"]).trim_end().contains(char::is_control));
    // Who wants the bytes gets them.
    assert!(shown(&["-", "--raw"]).contains('\u{1b}'));
    let piped = topics.call(&["-"]).input(REPLY.as_bytes()).run().succeeded();
    assert_eq!(piped.stdout, [REPLY.as_bytes(), b"\n"].concat());
}

/// All that was written to the other side, which nobody has open any more.
fn text(mut near: File) -> String {
    let mut read = Vec::new();
    // It ends with EIO when nobody writes any more, and what was read by then is there.
    let _ = near.read_to_end(&mut read);
    String::from_utf8(read).unwrap()
}
