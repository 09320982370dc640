//! The released crates cachekit-core and cachekit-rs, asked over a pipe. Each line is a command and its words, bytes among
//! them as hexadecimal digits ("-" for none); each answer one line: "= WORDS", "none", or "error WHY".

use cachekit::backend::file::FileBackend;
use cachekit::interop::{canonical_args, interop_key, serialize_value, InteropValue};
use cachekit::{CacheKit, EncryptionLayer};
use cachekit_core::{derive_domain_key, ByteStorage, Keyring, ZeroKnowledgeEncryptor};
use std::error::Error;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

type Answer = Result<Option<String>, Box<dyn Error>>;

fn bytes(word: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    Ok(if word == "-" { Vec::new() } else { hex::decode(word)? })
}

fn said(bytes: impl AsRef<[u8]>) -> Answer {
    Ok(Some(hex::encode(bytes)))
}

fn document(word: &str) -> Result<rmpv::Value, Box<dyn Error>> {
    Ok(rmpv::decode::read_value(&mut bytes(word)?.as_slice())?)
}

/// Interop's model of a document.
fn modelled(value: &rmpv::Value) -> Result<InteropValue, Box<dyn Error>> {
    Ok(match value {
        rmpv::Value::Nil => InteropValue::Null,
        rmpv::Value::Boolean(given) => InteropValue::Bool(*given),
        rmpv::Value::Integer(given) => match given.as_u64() {
            Some(number) => InteropValue::Int(number.into()),
            None => InteropValue::Int(given.as_i64().ok_or("an integer of more than 64 bits")?.into()),
        },
        rmpv::Value::F32(given) => InteropValue::Float((*given).into()),
        rmpv::Value::F64(given) => InteropValue::Float(*given),
        rmpv::Value::String(given) => InteropValue::Str(given.as_str().ok_or("not UTF-8")?.into()),
        rmpv::Value::Binary(given) => InteropValue::bytes(given.clone()),
        rmpv::Value::Array(given) => InteropValue::Array(given.iter().map(modelled).collect::<Result<_, _>>()?),
        rmpv::Value::Map(given) => InteropValue::Map(
            given
                .iter()
                .map(|(key, value)| Ok((key.as_str().ok_or("a key that is no text")?.into(), modelled(value)?)))
                .collect::<Result<_, Box<dyn Error>>>()?,
        ),
        rmpv::Value::Ext(..) => return Err("an extension".into()),
    })
}

fn client(directory: &str) -> Result<cachekit::CacheKitBuilder, Box<dyn Error>> {
    let files = FileBackend::builder().cache_dir(directory).build()?;
    Ok(CacheKit::builder().backend(Arc::new(files)).default_ttl(Duration::from_secs(600)))
}

async fn obey(words: &[&str]) -> Answer {
    match *words {
        // cachekit-core: envelopes, keys, the cipher with any additional data
        ["store", content] => said(ByteStorage::new(None).store(&bytes(content)?, Some("msgpack".into()))?),
        ["retrieve", envelope] => {
            let (content, format) = ByteStorage::new(None).retrieve(&bytes(envelope)?)?;
            Ok(Some(format!("{} {format}", hex::encode(content))))
        }
        ["fingerprint", master, tenant] => {
            said(Keyring::new(&bytes(master)?, &[])?.encryption_fingerprints(tenant)?[0])
        }
        ["seal", master, tenant, additional, plain] => said(ZeroKnowledgeEncryptor::new()?.encrypt_aes_gcm(
            &bytes(plain)?,
            &derive_domain_key(&bytes(master)?, "encryption", tenant.as_bytes())?,
            &bytes(additional)?,
        )?),
        ["open", master, previous, tenant, additional, sealed] => {
            let previous = bytes(previous)?;
            let older: &[&[u8]] = if previous.is_empty() { &[] } else { &[&previous] };
            let ring = Keyring::new(&bytes(master)?, older)?;
            said(ring.decrypt(&ZeroKnowledgeEncryptor::new()?, &bytes(sealed)?, tenant, &bytes(additional)?)?)
        }
        // cachekit-rs: values without a frame, names, and a client over files
        ["encrypt", master, tenant, key, plain] => {
            said(EncryptionLayer::new(&bytes(master)?, tenant)?.encrypt(&bytes(plain)?, key)?)
        }
        ["decrypt", master, tenant, key, sealed] => {
            said(EncryptionLayer::new(&bytes(master)?, tenant)?.decrypt(&bytes(sealed)?, key)?)
        }
        ["key", namespace, operation, arguments] => {
            let given = document(arguments)?;
            let model = given.as_array().ok_or("no array")?.iter().map(modelled).collect::<Result<Vec<_>, _>>()?;
            let key = interop_key(namespace, operation, &model)?;
            Ok(Some(format!("{key} {}", hex::encode(canonical_args(&model)?))))
        }
        ["value", given] => said(serialize_value(&modelled(&document(given)?)?)?),
        ["set", directory, key, value] => {
            client(directory)?.build()?.set(key, &document(value)?).await?;
            Ok(None)
        }
        ["get", directory, key] => found(client(directory)?.build()?.interop_get::<rmpv::Value>(key).await?),
        ["secure-set", directory, master, tenant, key, value] => {
            let sealed = client(directory)?.encryption_from_bytes(&bytes(master)?, tenant)?.build()?;
            sealed.secure_cache()?.set(key, &document(value)?).await?;
            Ok(None)
        }
        ["secure-get", directory, master, tenant, key] => {
            let sealed = client(directory)?.encryption_from_bytes(&bytes(master)?, tenant)?.build()?;
            found(sealed.secure_cache()?.interop_get::<rmpv::Value>(key).await?)
        }
        _ => Err("unknown command".into()),
    }
}

fn found(value: Option<rmpv::Value>) -> Answer {
    let mut written = Vec::new();
    match value {
        None => Ok(None),
        Some(value) => {
            rmpv::encode::write_value(&mut written, &value)?;
            said(written)
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match runtime.block_on(obey(&words)) {
            Ok(Some(answer)) => println!("= {answer}"),
            Ok(None) => println!("none"),
            Err(why) => println!("error {}", why.to_string().replace('\n', " ")),
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}
