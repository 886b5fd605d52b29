//! `antiphon call --one-way`: requests that nobody answers.

use antiphon::Requester;

use crate::exit::{Failure, code_of};
use crate::load::Load;
use crate::question::Prepared;

/// Sends requests that nobody answers. All is well when the brokers have acknowledged them; those
/// of which that is not known count more than those that were not sent.
pub(crate) async fn tell(
    load: Load,
    requester: &Requester,
    question: Prepared,
) -> Result<(), Failure> {
    let codes = load
        .run(
            requester,
            move |requester, _| {
                let (requester, question) = (requester.clone(), question.clone());
                async move { question.ask(&requester).tell().await }
            },
            |code: &mut u8, ended| {
                if let Err(error) = &ended.result {
                    eprintln!("error: {error}");
                    *code = code_of(error).max(*code);
                }
            },
        )
        .await;
    match codes.into_iter().max().unwrap_or(0) {
        0 => Ok(()),
        code => Err(Failure::said(code)),
    }
}
