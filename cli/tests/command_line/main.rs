//! The `antiphon` command as its users run it: the built binary, with arguments, pipes and signals.
#![allow(clippy::unwrap_used)]

mod bench;
mod brokers;
mod crash;
mod dead_letters;
mod demo;
mod doctor;
mod drain;
mod exchange;
mod failures;
mod gated;
mod health;
mod http;
mod http_server;
mod killed_submitter;
mod observed;
mod one_way;
mod process;
mod replying;
mod several_replies;
mod shell_commands;
mod terminal;
mod tickets;
mod topics;
mod transactions;
mod watching;
mod wire;
