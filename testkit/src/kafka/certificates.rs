//! Certificates of a test: an authority, what it has signed, and another authority that signed
//! nothing. They are made anew each time, and their files go with the folder they are in.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::TestkitError;

/// Whether a certificate is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    /// For longer than any test.
    Good,
    /// It was, once.
    Over,
}

/// An authority and the folder that its files are in.
pub(super) struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority, whose certificate is in `<name>.crt`.
    pub(super) fn new(folder: &Path, name: &str) -> Result<Self, TestkitError> {
        let mut params = params(name, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key()?).map_err(failed)?;
        let authority = Self { folder: folder.to_owned(), issuer };
        authority.write(&format!("{name}.crt"), &authority.issuer.pem())?;
        Ok(authority)
    }

    /// Signs a server's certificate for these host names and addresses. Key and certificates are in
    /// one file, as Kafka wants them.
    pub(super) fn server(
        &self,
        name: &str,
        hosts: &[&str],
        validity: Validity,
    ) -> Result<PathBuf, TestkitError> {
        let purpose = ExtendedKeyUsagePurpose::ServerAuth;
        let (certificate, key) = self.sign(name, hosts, purpose, validity)?;
        self.write(&format!("{name}.pem"), &format!("{key}{certificate}{}", self.issuer.pem()))
    }

    /// Signs a client's certificate; returns its file and that of its key.
    pub(super) fn client(
        &self,
        name: &str,
        validity: Validity,
    ) -> Result<(PathBuf, PathBuf), TestkitError> {
        let purpose = ExtendedKeyUsagePurpose::ClientAuth;
        let (certificate, key) = self.sign(name, &[], purpose, validity)?;
        let certificate = self.write(&format!("{name}.crt"), &certificate)?;
        Ok((certificate, self.write(&format!("{name}.key"), &key)?))
    }

    fn sign(
        &self,
        name: &str,
        hosts: &[&str],
        purpose: ExtendedKeyUsagePurpose,
        validity: Validity,
    ) -> Result<(String, String), TestkitError> {
        let mut params = params(name, hosts)?;
        if validity == Validity::Over {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2001, 1, 2);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        let key = key()?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, TestkitError> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(TestkitError::io(format!("write {}", path.display())))?;
        Ok(path)
    }
}

fn params(name: &str, hosts: &[&str]) -> Result<CertificateParams, TestkitError> {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut params = CertificateParams::new(hosts).map_err(failed)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn key() -> Result<KeyPair, TestkitError> {
    KeyPair::generate().map_err(failed)
}

fn failed(error: rcgen::Error) -> TestkitError {
    TestkitError::io("make a certificate")(std::io::Error::other(error))
}
