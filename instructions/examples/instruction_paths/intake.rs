//! The replier's watermark, from its own files.
#![allow(dead_code, unreachable_pub, reason = "only some of it is measured")]

#[rustfmt::skip]
#[path = "../../../replier/src/intake/gaps.rs"]
mod gaps;
#[rustfmt::skip]
#[path = "../../../replier/src/intake/watermark.rs"]
mod watermark;

pub(crate) use watermark::Watermark;
