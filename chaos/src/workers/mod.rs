//! The processes of a row: requesters and repliers that use the public interface alone, and write
//! down what they do before they do it.

pub(crate) mod child;
mod crash;
mod newcomers;
pub(crate) mod orders;
pub(crate) mod payload;
pub(crate) mod replier;
pub(crate) mod requester;
mod vitals;
