//! Attacks by those who may write to topics, each file by its name.

mod bombs;
mod floods;
mod forged_with_signatures;
mod logs;
mod nesting;
