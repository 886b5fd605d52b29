//! Attacks by those who may write to topics, each file by its name.

mod forged_with_signatures;
