//! Requests that come again get the reply that they got before.

pub(crate) mod identity;
pub(crate) mod kept;
pub(crate) mod partition;
pub(crate) mod restore;
pub(crate) mod serve;
pub(crate) mod topic;
pub(crate) mod window;
pub(crate) mod windows;
