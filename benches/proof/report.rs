//! Figures and promises of one run, and the line of JSON that it ends with.

use serde_json::{Map, Value, json};

use crate::Outcome;
use crate::tally::Tally;

/// What a run has to say.
#[derive(Debug)]
pub(crate) struct Report {
    figures: Map<String, Value>,
    broken: Vec<String>,
}

impl Report {
    pub(crate) fn new(run: &str) -> Self {
        let mut figures = Map::new();
        figures.insert("run".to_owned(), json!(run));
        Self { figures, broken: Vec::new() }
    }

    pub(crate) fn figure(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.to_owned(), value.into());
    }

    /// A figure with as many places as mean anything.
    pub(crate) fn rounded(&mut self, name: &str, value: f64) {
        self.figure(name, (value * 100.0).round() / 100.0);
    }

    /// Notes a promise, and whether it was kept.
    pub(crate) fn promise(&mut self, what: impl Into<String>, kept: bool) {
        if !kept {
            self.broken.push(what.into());
        }
    }

    /// The calls of a run: each must have been answered.
    pub(crate) fn calls(&mut self, tally: &Tally) {
        self.figure("requests", tally.total());
        self.figure("lost", tally.lost());
        if tally.lost() > 0 {
            self.figure("errors", tally.errors());
        }
        self.promise("there were requests", tally.total() > 0);
        self.promise("every request is answered", tally.lost() == 0);
    }

    /// Prints the line.
    ///
    /// # Errors
    /// If a promise was broken.
    pub(crate) fn finish(mut self) -> Outcome {
        self.figures.insert("kept".to_owned(), json!(self.broken.is_empty()));
        self.figures.insert("broken".to_owned(), json!(self.broken));
        println!("{}", Value::Object(self.figures));
        match &self.broken[..] {
            [] => Ok(()),
            broken => Err(format!("not kept: {}", broken.join("; ")).into()),
        }
    }
}
