//! TLS to the servers, with rustls and the certificates of the system.

use fred::{
    rustls::{ClientConfig, RootCertStore, crypto::ring},
    rustls_native_certs::load_native_certs,
    types::config::{Config, TlsConfig, TlsConnector},
};

use crate::error::ConfigError;

/// Makes all connections use TLS.
pub(super) fn enable(config: &mut Config) -> Result<(), ConfigError> {
    config.tls = Some(connector()?);
    Ok(())
}

/// A connector that trusts the system's certificates, or those that `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name.
fn connector() -> Result<TlsConfig, ConfigError> {
    let found = load_native_certs();
    let mut trusted = RootCertStore::empty();
    // Some systems have certificates that cannot be parsed.
    let (added, _) = trusted.add_parsable_certificates(found.certs);
    let refuse = |cause: String| ConfigError::Unavailable {
        setting: "url",
        cause: format!("TLS: {cause}"),
    };
    if added == 0 {
        let errors = found.errors.iter().map(|error| format!("; {error}"));
        let errors: String = errors.collect();
        return Err(refuse(format!(
            "the system has no certificates to trust{errors}"
        )));
    }
    // Names the provider, since a process may link more than one.
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(error.to_string()))?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(TlsConnector::from(config).into())
}
