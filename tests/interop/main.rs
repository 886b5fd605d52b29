//! Antiphon against real request-reply frameworks, each run as a process of its own over a real
//! Kafka.

mod maven;
mod peer;
mod spring;
