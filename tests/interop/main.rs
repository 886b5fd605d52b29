//! Antiphon against real request-reply frameworks, each run as a process of its own over a real
//! Kafka.
#![allow(clippy::unwrap_used)]

mod broker;
mod maven;
mod peer;
mod records;
mod spring;
mod spring_answers;
mod spring_asks;
